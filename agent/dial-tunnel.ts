// SPDX-License-Identifier: Apache-2.0
// The agent's end of a tunnel's HTTP upgrade. agent.proto, OpenDisplay, is its specification.
import type { ClientRequest, RequestOptions } from "node:http";
import { request } from "node:http";
import { request as requestTls } from "node:https";
import type { Socket } from "node:net";
import type { OpenDisplay } from "../proto/gen/spicegate/agent/v1/agent.js";
import { waitAtMost } from "../src/lib/deadline.js";
import {
  KEEPALIVE_INTERVAL_MS,
  MAX_TUNNEL_HEADER_BYTES,
  MAX_TUNNEL_SECRET_LENGTH,
  TUNNEL_HANDSHAKE_MS,
} from "../src/lib/limits.js";
import type { Address } from "../src/lib/listen-address.js";
import { parseAddress } from "../src/lib/listen-address.js";
import { ServiceError } from "../src/lib/service-error.js";
import { invalid } from "../src/lib/validate.js";
import type { ControllerCredentials } from "./controller-credentials.js";
import type { AskOptions } from "./hypervisor.js";
import { describeDialFailure, tlsOptionsTo } from "./mutual-tls.js";

/** Where a controller waits for a display, and what proves that it is this one that was asked for. */
export interface TunnelTarget {
  readonly address: Address;
  /** Never logged. */
  readonly secret: string;
}

const SECRET = /^[\x21-\x7e]+$/;

/** The target of a request. Throws INVALID_ARGUMENT; an address beyond this machine is refused where nothing encrypts. */
export function parseTunnelTarget(
  { tunnelAddress, tunnelSecret }: OpenDisplay,
  credentials: ControllerCredentials,
): TunnelTarget {
  const address = parseAddress(tunnelAddress);
  if (!address) throw invalid("tunnel_address", "must be host:port");
  if (!credentials.allows(address))
    throw invalid("tunnel_address", "must be a loopback address: agent.cert is not set");
  if (tunnelSecret.length > MAX_TUNNEL_SECRET_LENGTH || !SECRET.test(tunnelSecret)) {
    throw invalid("tunnel_secret", `must be 1 to ${MAX_TUNNEL_SECRET_LENGTH} printable characters`);
  }
  return { address, secret: tunnelSecret };
}

/** Dials a tunnel and waits until the controller takes it. Throws TARGET_REFUSED or CANCELLED, and leaves nothing open then. */
export async function dialTunnel(
  target: TunnelTarget,
  credentials: ControllerCredentials,
  { ms, signal }: AskOptions,
): Promise<Socket> {
  const expired = (): ServiceError => refused("does not answer");
  const bounded = { ms: Math.min(ms, TUNNEL_HANDSHAKE_MS), signal, expired };
  let upgrade: ClientRequest | undefined;
  try {
    return await waitAtMost(bounded, () => {
      upgrade = upgradeRequest(target, credentials);
      return upgraded(upgrade, credentials);
    });
  } catch (error) {
    upgrade?.destroy();
    throw error;
  }
}

function upgradeRequest({ address, secret }: TunnelTarget, { secureContext }: ControllerCredentials): ClientRequest {
  const options: RequestOptions = {
    ...address,
    path: "/tunnel",
    headers: { Connection: "Upgrade", Upgrade: "spicegate-tunnel", "X-Spicegate-Tunnel-Secret": secret },
    agent: false,
    maxHeaderSize: MAX_TUNNEL_HEADER_BYTES,
  };
  if (!secureContext) return request(options);
  return requestTls({ ...options, ...tlsOptionsTo({ host: address.host, secureContext }) });
}

function upgraded(upgrade: ClientRequest, { identity }: ControllerCredentials): Promise<Socket> {
  return new Promise((resolve, reject) => {
    upgrade.on("error", (cause) => {
      const why = identity ? `: ${describeDialFailure(cause, identity)}` : "";
      reject(refused(`cannot be reached${why}`, cause));
    });
    upgrade.on("response", ({ statusCode }) => {
      upgrade.destroy();
      reject(refused(`answered ${statusCode}`));
    });
    upgrade.on("upgrade", (_response, socket: Socket, head) => {
      // Its end says all there is to know; an error without a listener would end the process.
      socket.on("error", () => undefined);
      socket.setNoDelay(true);
      // A controller whose machine is gone ends no connection.
      socket.setKeepAlive(true, KEEPALIVE_INTERVAL_MS);
      if (head.length > 0) socket.unshift(head);
      resolve(socket);
    });
    upgrade.end();
  });
}

function refused(what: string, cause?: unknown): ServiceError {
  return new ServiceError("TARGET_REFUSED", `the controller's tunnel ${what}`, { cause });
}
