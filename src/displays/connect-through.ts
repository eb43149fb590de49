// SPDX-License-Identifier: Apache-2.0
import type { Socket } from "node:net";
import { MAX_CONNECT_ANSWER_BYTES } from "../lib/limits.js";

const END = "\r\n\r\n";
const SUCCESS = /^HTTP\/1\.[01] 200[ \r]/;

/**
 * Asks what listens there for the display behind it, in the words of Nova's proxy. When this returns, the connection
 * carries the display's bytes and nothing else: those that came with the answer are still to be read. Fails with an
 * Error where the answer is not 200, is too long, or does not come before the connection ends.
 */
export function connectThrough(socket: Socket, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let answer = Buffer.alloc(0);
    const ended = (): void => settle(new Error("the connection ended before CONNECT was answered"));
    const settle = (error?: Error): void => {
      socket.off("readable", look);
      socket.off("close", ended);
      if (error) reject(error);
      else resolve();
    };
    const look = (): void => {
      const bytes = socket.read() as Buffer | null;
      if (bytes) answer = Buffer.concat([answer, bytes]);
      const length = answer.indexOf(END) + END.length;
      if (length < END.length && answer.length <= MAX_CONNECT_ANSWER_BYTES) return;
      const problem = problemOf(answer.subarray(0, length));
      const rest = answer.subarray(length);
      settle(problem);
      if (!problem && rest.length > 0) socket.unshift(rest);
    };
    socket.on("readable", look);
    socket.once("close", ended);
    socket.write(`CONNECT ${path} HTTP/1.1${END}`);
  });
}

function problemOf(header: Buffer): Error | undefined {
  if (header.length < END.length || header.length > MAX_CONNECT_ANSWER_BYTES) {
    return new Error("the answer to CONNECT is too long");
  }
  const [status = ""] = header.toString("latin1").split("\n", 1);
  return SUCCESS.test(status) ? undefined : new Error(`CONNECT was answered ${JSON.stringify(status.trim())}`);
}
