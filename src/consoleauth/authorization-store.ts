// SPDX-License-Identifier: Apache-2.0
import type { Part } from "../lib/lifecycle.js";
import { ServiceError } from "../lib/service-error.js";
import type { AuthorizedConsole } from "./console-auth.js";

/**
 * Where authorizations are kept by the hash of their token. A method throws LEGACY_STORE_UNAVAILABLE where the store does
 * not answer, and LIMITED where it, or the instance's part of it, is full.
 */
export interface AuthorizationStore extends Part {
  /** Keeps one for so many milliseconds; one of the same hash is replaced. */
  put(tokenHash: string, console: AuthorizedConsole, ttlMs: number): Promise<void>;
  /** What is kept under a hash and has not expired. */
  find(tokenHash: string): Promise<AuthorizedConsole | undefined>;
  /** The same, and it is gone then: of several callers one gets it. */
  take(tokenHash: string): Promise<AuthorizedConsole | undefined>;
  /** Removes what is kept for an instance and says how much that was. */
  removeAll(instanceUuid: string): Promise<number>;
}

/** The error of a store that does not answer; the cause is for the log. */
export function storeUnavailable(cause: unknown): ServiceError {
  return new ServiceError("LEGACY_STORE_UNAVAILABLE", "the legacy store of console tokens does not answer", { cause });
}

/** The error of a store that is full; authorizations leave it as they expire. */
export function storeFull(what: string): ServiceError {
  return new ServiceError("LIMITED", `${what} holds as many console authorizations as it may; try again later`);
}
