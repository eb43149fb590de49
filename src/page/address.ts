// SPDX-License-Identifier: Apache-2.0
// What the page's address says: a token (in the fragment, once), or a session (in the path).

/** The token of `/console#token=…`, or undefined. */
export function tokenFromFragment(fragment: string): string | undefined {
  const token = new URLSearchParams(fragment.replace(/^#/u, "")).get("token");
  return token === null || token === "" ? undefined : token;
}

/** The path of a session, with both slashes, or undefined: `/s/<id>/`. */
export function sessionPath(pathname: string): string | undefined {
  return /^\/s\/[A-Za-z0-9_-]+\/$/u.exec(pathname)?.[0];
}

/** Where a session's channels are opened: the page's own origin, as a WebSocket. */
export function channelUrl(origin: string, path: string): string {
  return `${origin.replace(/^http/u, "ws")}${path}channel`;
}
