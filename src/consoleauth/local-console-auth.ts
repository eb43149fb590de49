// SPDX-License-Identifier: Apache-2.0
import type { AuthorizationStore } from "./authorization-store.js";
import type { AuthorizedConsole, ConsoleAuth } from "./console-auth.js";

/** What a ConsoleAuth over a store needs. */
export interface LocalConsoleAuthOptions {
  readonly store: AuthorizationStore;
  /** Nova's [consoleauth] token_ttl, in seconds: nothing is kept longer. */
  readonly ttlSeconds: number;
  /** The time of day, in milliseconds. */
  readonly timeOfDay?: () => number;
}

/** Console authorizations in a store of this process. */
export class LocalConsoleAuth implements ConsoleAuth {
  readonly #store: AuthorizationStore;
  readonly #ttlMs: number;
  readonly #timeOfDay: () => number;

  constructor({ store, ttlSeconds, timeOfDay = Date.now }: LocalConsoleAuthOptions) {
    this.#store = store;
    this.#ttlMs = ttlSeconds * 1_000;
    this.#timeOfDay = timeOfDay;
  }

  /** One that has expired already is not kept, and what had its hash is forgotten. */
  async authorize(tokenHash: string, console: AuthorizedConsole): Promise<void> {
    const now = this.#timeOfDay();
    const ttlMs = Math.min(console.expiresAt.getTime() - now, this.#ttlMs);
    if (ttlMs > 0) return this.#store.put(tokenHash, { ...console, expiresAt: new Date(now + ttlMs) }, ttlMs);
    await this.#store.take(tokenHash);
  }

  check(tokenHash: string, { consume }: { readonly consume: boolean }): Promise<AuthorizedConsole | undefined> {
    return consume ? this.#store.take(tokenHash) : this.#store.find(tokenHash);
  }

  deleteForInstance(instanceUuid: string): Promise<number> {
    return this.#store.removeAll(instanceUuid);
  }
}
