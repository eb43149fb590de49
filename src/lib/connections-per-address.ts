// SPDX-License-Identifier: Apache-2.0
import type { Server, Socket } from "node:net";
import { networkOf } from "./network-of.js";

/** How many connections one address may have. */
export interface ConnectionsPerAddress {
  readonly most: number;
  /** Whether an address may have any number: this machine, and balancers. */
  readonly isFree: (address: string) => boolean;
}

/** Has a server cut at once what one address has too many of, before a byte of it is read; that of others comes in. */
export function boundPerAddress(server: Server, { most, isFree }: ConnectionsPerAddress): void {
  const open = new Map<string, number>();
  server.prependListener("connection", (socket: Socket) => {
    const address = socket.remoteAddress ?? "";
    if (isFree(address)) return;
    const key = networkOf(address);
    const count = (open.get(key) ?? 0) + 1;
    open.set(key, count);
    socket.once("close", () => {
      const left = (open.get(key) ?? 1) - 1;
      if (left === 0) open.delete(key);
      else open.set(key, left);
    });
    if (count > most) socket.destroy();
  });
}
