// SPDX-License-Identifier: Apache-2.0

/**
 * Where a token stands in its URL. As a fragment, which browsers never send, it reaches no proxy's log; as a query it
 * reaches viewers made for Nova, and every log on the way.
 */
export type TokenPlace = "fragment" | "query";

/** The URL that opens a console. The base URL has neither query nor fragment; the configuration sees to that. */
export function accessUrl(baseUrl: string, token: string, place: TokenPlace): string {
  return `${baseUrl}${place === "query" ? "?" : "#"}token=${token}`;
}
