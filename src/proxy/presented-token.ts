// SPDX-License-Identifier: Apache-2.0
import type { IncomingMessage } from "node:http";
import { cookiesNamed } from "./session-cookie.js";

/** What the token is called, in the query as in the cookie that the page makes of it. */
const NAME = "token";

/**
 * The token that a WebSocket for Nova's proxy brings, by Nova's rule: the last one of the query that is not empty, else
 * the last one of the cookies, each of which is read for itself; empty where there is none.
 */
export function readToken({ url = "", headers }: Pick<IncomingMessage, "url" | "headers">): string {
  const query = url.includes("?") ? url.slice(url.indexOf("?") + 1) : "";
  const inQuery = new URLSearchParams(query).getAll(NAME).filter((token) => token !== "");
  return inQuery.at(-1) ?? unquoted(cookiesNamed(NAME, headers.cookie).at(-1) ?? "");
}

function unquoted(value: string): string {
  return /^"(.*)"$/.exec(value)?.[1] ?? value;
}
