// SPDX-License-Identifier: Apache-2.0
// Who calls, whatever the protocol: the credentials are shown to one source after the other.
import { ServiceError } from "../lib/service-error.js";
import type { Caller } from "./caller.js";
import { NOBODY } from "./caller.js";

/** What a caller shows. */
export interface Credentials {
  /** A bearer token (RFC 6750), or X-Auth-Token of Nova's clients; undefined where none was shown. */
  readonly token: string | undefined;
  /** The peer's address without its port; empty where unknown. */
  readonly address: string;
}

/** One way to know callers. */
export interface CallerSource {
  /**
   * The caller, or NOBODY where this source does not know the credentials. A promise only where somebody must be asked.
   * Throws a ServiceError where it cannot tell, such as DATABASE_UNAVAILABLE.
   */
  identify(credentials: Credentials, signal: AbortSignal): Caller | Promise<Caller>;
}

/** All ways in which callers are known. */
export class Callers {
  readonly #sources: readonly CallerSource[];

  /** In this order; the first that knows the credentials is believed. */
  constructor(sources: readonly CallerSource[]) {
    this.#sources = sources;
  }

  /** The caller; throws UNAUTHENTICATED where nobody knows it. */
  async identify(credentials: Credentials, signal: AbortSignal): Promise<Caller> {
    for (const source of this.#sources) {
      const caller = await source.identify(credentials, signal);
      if (caller !== NOBODY) return caller;
    }
    const message =
      credentials.token === undefined
        ? "no bearer token was shown: make one with `spicegate user token` and send it as authorization: Bearer …"
        : "the token is unknown, has expired or was revoked";
    throw new ServiceError("UNAUTHENTICATED", message);
  }
}
