// SPDX-License-Identifier: Apache-2.0
import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import { request as requestPlain } from "node:http";
import { request as requestTls } from "node:https";

/** What is asked of a web server. */
export interface WebRequest {
  readonly method: "GET" | "POST";
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  /** PEM certificates of the authorities that are trusted; undefined: the public ones. */
  readonly ca: string | undefined;
  /** The most that the body of the answer may have, in bytes. */
  readonly maxBytes: number;
  readonly signal: AbortSignal;
}

/** What it answers. */
export interface WebAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/**
 * Asks on a connection of its own, which is closed afterwards: nothing is sent on one that the server has just given up.
 * Follows no redirect. Throws an Error where there is no whole answer, or one that is too long, and when the signal aborts.
 */
export function askWeb(asked: WebRequest): Promise<WebAnswer> {
  const { method, url, headers, body, ca, maxBytes, signal } = asked;
  const secure = url.startsWith("https:");
  // Said aloud: else an environment variable could switch the check off.
  const trust = { rejectUnauthorized: true, ...(ca === undefined ? {} : { ca }) };
  const options = { method, headers, signal, agent: false, ...(secure ? trust : {}) };
  return new Promise((resolve, reject) => {
    const request = secure ? requestTls(url, options) : requestPlain(url, options);
    const answered = async (response: IncomingMessage): Promise<WebAnswer> => {
      const text = await readBody(response, maxBytes);
      return { status: response.statusCode ?? 0, headers: response.headers, body: text };
    };
    request.once("response", (response) => void answered(response).then(resolve, reject));
    // Stays for good: a connection can break again while its answer is read.
    request.on("error", reject);
    request.end(body);
  });
}

async function readBody(response: IncomingMessage, maxBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    // Leaving the loop closes the connection.
    if (bytes > maxBytes) throw new Error(`the answer is longer than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}
