// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import type { AddressInfo, Socket } from "node:net";
import { connect, createServer } from "node:net";

/** Two ends of one TCP connection on loopback. Their errors are of no interest. */
export async function socketPair(): Promise<readonly [Socket, Socket]> {
  const server = createServer();
  await once(server.listen(0, "127.0.0.1"), "listening");
  const one = connect((server.address() as AddressInfo).port, "127.0.0.1");
  const [[other]] = (await Promise.all([once(server, "connection"), once(one, "connect")])) as [[Socket], unknown];
  server.close();
  for (const socket of [one, other]) socket.on("error", () => undefined);
  return [one, other];
}
