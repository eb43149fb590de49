// SPDX-License-Identifier: Apache-2.0
import type { AddressInfo, Server } from "node:net";
import type { Address } from "./listen-address.js";
import { LISTEN_BACKLOG } from "./limits.js";
import { formatAddress } from "./listen-address.js";
import type { Log } from "./log.js";

/** What listens, and where. */
export interface ListenOptions {
  /** For people: "proxy". */
  readonly name: string;
  readonly at: Address;
  readonly log: Log;
}

/**
 * Lets a server listen; fails where it cannot, and names both. Errors after that are logged: for example no descriptor
 * is left for one more connection, and those that are open go on.
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
  log.info({ listen: formatAddress({ host: at.host, port: portOf(server) }) }, `${name} listens`);
}

/** The port that a server listens on, of use where the setting was 0; 0 while it does not listen. */
export function portOf(server: Server | undefined): number {
  return (server?.address() as AddressInfo | null | undefined)?.port ?? 0;
}
