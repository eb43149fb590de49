// SPDX-License-Identifier: Apache-2.0
import type { Socket } from "node:net";
import type pg from "pg";

/** Closes a connection's socket at once, which the driver's types do not show. Twice is harmless. */
export function cutConnection(client: pg.ClientBase): void {
  (client as unknown as { connection: { stream: Socket } }).connection.stream.destroy();
}
