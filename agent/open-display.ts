// SPDX-License-Identifier: Apache-2.0
import type { NetConnectOpts, Socket } from "node:net";
import { connect } from "node:net";
import { waitAtMost } from "../src/lib/deadline.js";
import { ServiceError } from "../src/lib/service-error.js";
import type { SpiceSource } from "./get-spice-endpoint.js";
import { requireSpice, spiceDisplayOf } from "./get-spice-endpoint.js";
import type { AskOptions, DomainDisplay } from "./hypervisor.js";

/** How a display was opened: by libvirt's descriptor, its unix socket, or its TCP port. */
export type Means = "fd" | "socket" | "tcp";

/** An open connection to a display, which belongs to whoever gets it. */
export interface OpenedDisplay {
  readonly socket: Socket;
  readonly means: Means;
}

/** What "every address of this host" is to somebody who connects to it. */
const ANY_ADDRESS: ReadonlyMap<string, string> = new Map([
  ["0.0.0.0", "127.0.0.1"],
  ["::", "::1"],
]);

/**
 * Opens the first SPICE display of a live domain: by libvirt's descriptor, where there is none by its unix socket, else
 * over TCP on this host. Fails as getSpiceEndpoint does, or with TARGET_REFUSED.
 */
export async function openDisplay(source: SpiceSource, uuid: string, options: AskOptions): Promise<OpenedDisplay> {
  const { hypervisor, settings } = source;
  requireSpice(settings, hypervisor.status().info);
  const { displays, ...domain } = await hypervisor.describe(uuid, options);
  const display = spiceDisplayOf({ ...domain, displays });
  const socket = await hypervisor.openDisplay(uuid, displays.indexOf(display), options);
  if (socket) return { socket, means: "fd" };
  const target = connectable(display);
  return { socket: await connectTo(target, options), means: "path" in target ? "socket" : "tcp" };
}

/** Where the display takes connections on this host. Throws TARGET_REFUSED where it takes none, or only encrypted ones. */
export function connectable(display: DomainDisplay): NetConnectOpts {
  const { socket, port, tlsPort, address = "127.0.0.1" } = display;
  if (socket !== undefined) return { path: socket };
  if (port !== undefined) return { host: ANY_ADDRESS.get(address) ?? address, port };
  const only = tlsPort === undefined ? "listens nowhere" : "takes TLS connections only";
  throw refused(`the display ${only}, and this hypervisor hands out no descriptor for it`);
}

/** Connects; a connection that is late is closed. */
async function connectTo(target: NetConnectOpts, options: AskOptions): Promise<Socket> {
  const expired = (): ServiceError => refused("the display does not take the connection in time");
  let socket: Socket | undefined;
  try {
    return await waitAtMost({ ...options, expired }, () => {
      socket = connect({ ...target, noDelay: true });
      return connected(socket);
    });
  } catch (error) {
    socket?.destroy();
    throw error;
  }
}

function connected(socket: Socket): Promise<Socket> {
  return new Promise((resolve, reject) => {
    socket.once("connect", () => resolve(socket));
    // Stays for good: once the connection stands its end says all there is to know.
    socket.on("error", (cause) => reject(refused("the display does not take the connection", cause)));
  });
}

function refused(message: string, cause?: unknown): ServiceError {
  return new ServiceError("TARGET_REFUSED", message, { cause });
}
