// SPDX-License-Identifier: Apache-2.0
import { STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { CLOSE_HANDSHAKE_MS } from "../lib/limits.js";

/** An answer as it is sent. */
export interface RawResponse {
  readonly status: number;
  /** In lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/**
 * Answers on a connection that node:http has given away, and closes it. Once the answer is written the connection is
 * destroyed: after `end` alone it would stay half open for as long as the peer likes.
 */
export function sendRaw(socket: Duplex, { status, headers, body }: RawResponse): void {
  if (!socket.writable) return void socket.destroy();
  const all = { ...headers, connection: "close", "content-length": String(Buffer.byteLength(body)) };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}`);
  const late = setTimeout(() => socket.destroy(), CLOSE_HANDSHAKE_MS);
  socket.once("close", () => clearTimeout(late));
  socket.once("finish", () => socket.destroy());
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\n${lines.join("\r\n")}\r\n\r\n${body}`);
}
