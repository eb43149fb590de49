// SPDX-License-Identifier: Apache-2.0
import type { SpiceEndpoint } from "../../proto/gen/spicegate/agent/v1/agent.js";
import { ListenKind } from "../../proto/gen/spicegate/agent/v1/agent.js";

/** Whether somebody on another machine can dial a display: it has a port there, the plain one or TLS. */
export function listensOnNetwork({ listen, port, tlsPort }: SpiceEndpoint): boolean {
  const listens = listen === ListenKind.LISTEN_KIND_ADDRESS || listen === ListenKind.LISTEN_KIND_NETWORK;
  return listens && (port > 0 || tlsPort > 0);
}
