// SPDX-License-Identifier: Apache-2.0
import { STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { CLOSE_HANDSHAKE_MS } from "../lib/limits.js";
import type { HttpProblem } from "./http-problem.js";

/**
 * Refuses on a connection that node:http has given away, and closes it. Once the answer is written the connection is
 * destroyed: after `end` alone it would stay half open for as long as the peer likes.
 */
export function refuseRaw(
  socket: Duplex,
  problem: HttpProblem,
  more: Readonly<Record<string, string>>,
  requestId: string,
): void {
  if (!socket.writable) return void socket.destroy();
  const body = problem.body(requestId);
  const length = String(Buffer.byteLength(body));
  const headers = { ...more, ...problem.headers, connection: "close", "content-length": length };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  const late = setTimeout(() => socket.destroy(), CLOSE_HANDSHAKE_MS);
  socket.once("close", () => clearTimeout(late));
  socket.once("finish", () => socket.destroy());
  socket.end(
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status] ?? ""}\r\n${lines.join("\r\n")}\r\n\r\n${body}`,
  );
}
