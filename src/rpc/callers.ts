// SPDX-License-Identifier: Apache-2.0
// Who calls, whatever the protocol: the credentials are shown to one source after the other.
import { ServiceError } from "../lib/service-error.js";
import type { ControllerMetrics } from "../telemetry/controller-metrics.js";
import type { Caller } from "./caller.js";
import { NOBODY } from "./caller.js";

/** What a caller shows. */
export interface Credentials {
  /** A bearer token (RFC 6750), or X-Auth-Token of Nova's clients; undefined where none was shown, empty where what was shown is none. */
  readonly token: string | undefined;
  /** The peer's address without its port; empty where unknown, or where it proves nothing. */
  readonly address: string;
}

/** One way to know callers. */
export interface CallerSource {
  /**
   * The caller, or NOBODY where this source does not know the credentials. A promise only where somebody must be asked.
   * Throws a ServiceError where it cannot tell, such as DATABASE_UNAVAILABLE, and UNAUTHENTICATED for what is its own and
   * no good: no other source is asked then.
   */
  identify(credentials: Credentials, signal: AbortSignal): Caller | Promise<Caller>;
}

/** What an entrance knows its callers by. */
export interface CallersOptions {
  /** In this order; the first that knows the credentials is believed. */
  readonly sources: readonly CallerSource[];
  /** The entrance's name in the metric. */
  readonly entrance: "grpc" | "rest";
  readonly metrics: Pick<ControllerMetrics, "authenticationFailures">;
}

/** All ways in which callers of one entrance are known. */
export class Callers {
  readonly #options: CallersOptions;

  constructor(options: CallersOptions) {
    this.#options = options;
  }

  /** The caller. Throws UNAUTHENTICATED, which is counted, where nobody knows it, and what a source threw that cannot tell. */
  async identify(credentials: Credentials, signal: AbortSignal): Promise<Caller> {
    try {
      return await this.#ask(credentials, signal);
    } catch (error) {
      if (isUnauthenticated(error))
        this.#options.metrics.authenticationFailures.inc({ entrance: this.#options.entrance });
      throw error;
    }
  }

  async #ask(credentials: Credentials, signal: AbortSignal): Promise<Caller> {
    for (const source of this.#options.sources) {
      const answer = source.identify(credentials, signal);
      const caller = answer instanceof Promise ? await answer : answer;
      if (caller !== NOBODY) return caller;
    }
    throw credentials.token === undefined ? noToken() : unknownToken();
  }
}

/** The token of an Authorization header: undefined where there is no header, empty where it holds no bearer token. */
export function bearerTokenIn(authorization: string | undefined): string | undefined {
  if (authorization === undefined) return undefined;
  return /^bearer +(\S+) *$/i.exec(authorization)?.[1] ?? "";
}

/** The error of a token that is no good; why is nobody's business. */
export function unknownToken(): ServiceError {
  return new ServiceError("UNAUTHENTICATED", "the token is unknown, has expired or was revoked");
}

/** True where somebody showed no credentials, or none that are any good. */
export function isUnauthenticated(error: unknown): error is ServiceError {
  return error instanceof ServiceError && error.reason === "UNAUTHENTICATED";
}

function noToken(): ServiceError {
  const advice =
    "`spicegate user token` makes one; send it as `authorization: Bearer …`, over REST also as X-Auth-Token";
  return new ServiceError("UNAUTHENTICATED", `no token was shown: ${advice}`);
}
