// SPDX-License-Identifier: Apache-2.0
import type { AddressInfo, Server, Socket } from "node:net";
import { Server as TlsServer } from "node:tls";
import { LISTEN_BACKLOG } from "./limits.js";
import type { Address } from "./listen-address.js";
import { formatAddress, isLoopback } from "./listen-address.js";
import type { Log } from "./log.js";

/** What listens, and where. */
export interface ListenOptions {
  /** For people: "proxy". */
  readonly name: string;
  readonly at: Address;
  readonly log: Log;
}

/**
 * Lets a server listen; fails where it cannot, and names both. One in the clear that others can reach is warned of.
 * Errors after that are logged: for example no descriptor is left for one more connection, and those that are open go on.
 */
export async function listen(server: Server, { name, at, log }: ListenOptions): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const fail = ({ message }: Error): void =>
      reject(new Error(`${name} cannot listen on ${formatAddress(at)}: ${message}`));
    server.once("error", fail);
    server.listen({ ...at, backlog: LISTEN_BACKLOG }, () => {
      server.off("error", fail);
      resolve();
    });
  });
  server.on("error", (error) => log.error({ err: error }, `${name} could not accept a connection`));
  const address = formatAddress({ host: at.host, port: portOf(server) });
  log.info({ listen: address }, `${name} listens`);
  if (isLoopback(at.host) || server instanceof TlsServer) return;
  log.warn({ listen: address }, `${name} listens in the clear beyond this machine, as insecure says: give it a cert`);
}

/** The port that a server listens on, of use where the setting was 0; 0 while it does not listen. */
export function portOf(server: Server | undefined): number {
  return (server?.address() as AddressInfo | null | undefined)?.port ?? 0;
}

/** The open connections of a server, whatever has become of them: those amid their handshake, those that were upgraded. */
export function connectionsOf(server: Server): ReadonlySet<Socket> {
  const connections = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    connections.add(socket);
    socket.once("close", () => connections.delete(socket));
  });
  return connections;
}

/** Listens no more and cuts what is open; returns when all of it is closed. Harmless where nothing listens. */
export async function closeNow(server: Server, connections: ReadonlySet<Socket>): Promise<void> {
  if (!server.listening) return;
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  for (const socket of connections) socket.destroy();
  await closed;
}
