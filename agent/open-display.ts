// SPDX-License-Identifier: Apache-2.0
import type { NetConnectOpts, Socket } from "node:net";
import { connect } from "node:net";
import { connect as connectTls } from "node:tls";
import { withBigReads } from "../src/lib/big-reads.js";
import { waitAtMost } from "../src/lib/deadline.js";
import { ServiceError } from "../src/lib/service-error.js";
import type { SpiceSource } from "./get-spice-endpoint.js";
import { requireSpice, spiceDisplayOf } from "./get-spice-endpoint.js";
import type { AskOptions, DomainDisplay } from "./hypervisor.js";

/** How a display was opened: by libvirt's descriptor, its unix socket, its TCP port, or its TLS port. */
export type Means = "fd" | "socket" | "tcp" | "tls";

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

/** Where a display takes connections, and how. */
export type DisplayAddress = NetConnectOpts & { readonly means: Exclude<Means, "fd"> };

/**
 * Opens the first SPICE display of a live domain: by libvirt's descriptor, where there is none by its unix socket, else
 * over TCP on this host. One that insists on TLS is opened by its port: to QEMU a descriptor of libvirt's is plain text,
 * which it then refuses. Fails as getSpiceEndpoint does, or with TARGET_REFUSED.
 */
export async function openDisplay(source: SpiceSource, uuid: string, options: AskOptions): Promise<OpenedDisplay> {
  const { hypervisor, settings } = source;
  requireSpice(settings, hypervisor.status().info);
  const { displays, ...domain } = await hypervisor.describe(uuid, options);
  const display = spiceDisplayOf({ ...domain, displays });
  if (!insistsOnTls(display)) {
    const socket = await hypervisor.openDisplay(uuid, displays.indexOf(display), options);
    if (socket) return { socket, means: "fd" };
  }
  const target = connectable(display);
  return { socket: await connectTo(target, options), means: target.means };
}

/** Where the display takes connections on this host. Throws TARGET_REFUSED where it takes none. */
export function connectable(display: DomainDisplay): DisplayAddress {
  const { socket, port, tlsPort, address = "127.0.0.1" } = display;
  if (socket !== undefined) return { means: "socket", path: socket };
  const host = ANY_ADDRESS.get(address) ?? address;
  if (port !== undefined) return { means: "tcp", host, port };
  if (tlsPort !== undefined) return { means: "tls", host, port: tlsPort };
  throw refused("the display listens nowhere, and this hypervisor hands out no descriptor for it");
}

function insistsOnTls({ port, tlsPort }: DomainDisplay): boolean {
  return port === undefined && tlsPort !== undefined;
}

/** Connects; a connection that is late is closed. */
async function connectTo({ means, ...target }: DisplayAddress, options: AskOptions): Promise<Socket> {
  const expired = (): ServiceError => refused("the display does not take the connection in time");
  let socket: Socket | undefined;
  try {
    return await waitAtMost({ ...options, expired }, () => {
      // The certificate proves nothing here: this is the host's own address, and nothing leaves the host.
      const plain = (): Socket => withBigReads((onread) => connect({ ...target, noDelay: true, onread }));
      socket = means === "tls" ? connectTls({ ...target, rejectUnauthorized: false }) : plain();
      return connected(socket, means === "tls" ? "secureConnect" : "connect");
    });
  } catch (error) {
    socket?.destroy();
    throw error;
  }
}

function connected(socket: Socket, event: "connect" | "secureConnect"): Promise<Socket> {
  return new Promise((resolve, reject) => {
    socket.once(event, () => resolve(socket));
    // Stays for good: once the connection stands its end says all there is to know.
    socket.on("error", (cause) => reject(refused("the display does not take the connection", cause)));
  });
}

function refused(message: string, cause?: unknown): ServiceError {
  return new ServiceError("TARGET_REFUSED", message, { cause });
}
