// SPDX-License-Identifier: Apache-2.0

/** How the URLs of one console type are made. */
export interface UrlForm {
  /** What they begin with; it has neither query nor fragment, the configuration sees to that. */
  readonly baseUrl: string;
  /**
   * Where the token stands. As a fragment, which browsers never send, it reaches no proxy's log; as a query it reaches
   * viewers and proxies made for Nova, and every log on the way.
   */
  readonly tokenIn: "fragment" | "query";
}

/** The URL that opens a console. */
export function accessUrl({ baseUrl, tokenIn }: UrlForm, token: string): string {
  return `${baseUrl}${tokenIn === "query" ? "?" : "#"}token=${token}`;
}
