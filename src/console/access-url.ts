// SPDX-License-Identifier: Apache-2.0

/**
 * The URL that opens a console. The token is a fragment, which browsers never send, so that it reaches no proxy's log.
 * The base URL has neither query nor fragment; the configuration sees to that.
 */
export function accessUrl(baseUrl: string, token: string): string {
  return `${baseUrl}#token=${token}`;
}
