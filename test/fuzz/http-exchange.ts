// SPDX-License-Identifier: Apache-2.0
// One request over HTTP/1.1 in whatever bytes, and what comes back.
import { connect } from "node:net";

/** A request before it is bytes. */
export interface RawRequest {
  readonly method: string;
  readonly target: string;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: string;
}

/** The first answer. */
export interface RawAnswer {
  readonly status: number;
  readonly head: string;
  readonly body: string;
}

/** The bytes of a request whose values are free, on a connection that ends after it. Values may end lines: that is the point. */
export function httpRequest({ method, target, headers, body }: RawRequest): Buffer {
  const all: RawRequest["headers"] = {
    host: "localhost",
    connection: "close",
    "content-length": String(Buffer.byteLength(body)),
    ...headers,
  };
  const lines = Object.entries(all).flatMap(([name, value]) => (value === undefined ? [] : [`${name}: ${value}`]));
  return Buffer.from([`${method} ${target} HTTP/1.1`, ...lines, "", body].join("\r\n"));
}

/** What is answered until the connection ends, or is upgraded; undefined where it ends without an answer. Never fails. */
export function exchange(address: string, bytes: Buffer): Promise<RawAnswer | undefined> {
  const [host, port] = address.split(":");
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    const socket = connect(Number(port), host);
    socket.on("error", () => undefined);
    socket.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      if (answerFrom(Buffer.concat(chunks).toString())?.status === 101) socket.destroy();
    });
    socket.once("close", () => resolve(answerFrom(Buffer.concat(chunks).toString())));
    socket.write(bytes);
  });
}

function answerFrom(all: string): RawAnswer | undefined {
  const text = all.replace(/^HTTP\/1\.1 100 Continue\r\n\r\n/, "");
  const [, status] = /^HTTP\/1\.1 (\d{3})/.exec(text) ?? [];
  const end = text.indexOf("\r\n\r\n");
  if (status === undefined || end === -1) return undefined;
  return { status: Number(status), head: text.slice(0, end), body: text.slice(end + 4) };
}
