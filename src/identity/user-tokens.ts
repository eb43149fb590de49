// SPDX-License-Identifier: Apache-2.0

// Knows callers by tokens of our own. A good token is remembered, so that most calls wait for nothing; a revocation is
// heard, and what might not be heard is read again each second. Tokens that are no good are remembered apart from the
// good ones and cannot push them out. Only hashes are kept and compared.

import { Batches } from "../db/batches.js";
import type { Hearing, Notifications } from "../db/notifications.js";
import type { Clock } from "../lib/clock.js";
import { systemClock } from "../lib/clock.js";
import type { Part } from "../lib/lifecycle.js";
import {
  MAX_KNOWN_USER_TOKENS,
  MAX_REFUSED_USER_TOKENS,
  USER_TOKEN_KNOWN_MS,
  USER_TOKEN_REFUSED_MS,
  USER_TOKEN_UNHEARD_MS,
} from "../lib/limits.js";
import type { Caller } from "../rpc/caller.js";
import { NOBODY } from "../rpc/caller.js";
import type { CallerSource, Credentials } from "../rpc/callers.js";
import { unknownToken } from "../rpc/callers.js";
import { ExpiringCache } from "./expiring-cache.js";
import type { GoodUserToken, UserTokenStore } from "./user-token-store.js";
import { USER_TOKENS_CHANNEL } from "./user-token-store.js";
import { hashUserToken, isUserToken } from "./user-token.js";

/** What knowing them needs. */
export interface UserTokensOptions {
  readonly store: Pick<UserTokenStore, "find">;
  readonly notifications: Pick<Notifications, "hearing" | "on">;
  readonly clock?: Clock;
}

/** A good token as it was read. */
interface Known {
  readonly caller: Caller;
  readonly readAt: number;
  /** In which revocations were heard when it was read. */
  readonly hearing: Hearing | undefined;
}

/** Callers with a token of ours. */
export class UserTokens implements CallerSource, Part {
  readonly #options: UserTokensOptions;
  readonly #clock: Clock;
  readonly #known: ExpiringCache<Known>;
  /** Those that are refused without being read. */
  readonly #refused: ExpiringCache<true>;
  readonly #reading = new Map<string, Promise<Caller>>();
  readonly #reads: Batches<string, { readonly good: GoodUserToken | undefined }>;
  /** How many revocations were heard. */
  #revocations = 0;
  #unsubscribe: () => void = () => undefined;

  constructor(options: UserTokensOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#known = new ExpiringCache(MAX_KNOWN_USER_TOKENS, this.#clock);
    this.#refused = new ExpiringCache(MAX_REFUSED_USER_TOKENS, this.#clock);
    this.#reads = new Batches(async (hashes) => {
      const good = await options.store.find(hashes);
      return hashes.map((hash) => ({ good: good.get(hash) }));
    });
  }

  /** Begins to hear of revocations. */
  start(): void {
    this.#unsubscribe = this.#options.notifications.on(USER_TOKENS_CHANNEL, () => this.#forget());
  }

  /** Forgets everything. Twice is harmless. */
  stop(): void {
    this.#unsubscribe();
    this.#forget();
  }

  /**
   * NOBODY for who shows no token, or one that is not of ours. Throws UNAUTHENTICATED for one that is no good, and
   * DATABASE_UNAVAILABLE where it would have to be read.
   */
  identify({ token }: Credentials): Caller | Promise<Caller> {
    if (token === undefined || !isUserToken(token)) return NOBODY;
    const hash = hashUserToken(token);
    const known = this.#known.get(hash);
    if (known && this.#counts(known)) return known.caller;
    if (this.#refused.get(hash)) throw unknownToken();
    return this.#read(hash);
  }

  #counts({ readAt, hearing }: Known): boolean {
    const now = this.#clock.now();
    const heard =
      hearing !== undefined &&
      hearing === this.#options.notifications.hearing &&
      now - hearing.until < USER_TOKEN_UNHEARD_MS;
    return now - readAt < (heard ? USER_TOKEN_KNOWN_MS : USER_TOKEN_UNHEARD_MS);
  }

  /** Calls with the same token share a read. */
  #read(hash: string): Promise<Caller> {
    const underWay = this.#reading.get(hash);
    if (underWay) return underWay;
    const reading = this.#readNow(hash).finally(() => this.#reading.delete(hash));
    this.#reading.set(hash, reading);
    return reading;
  }

  async #readNow(hash: string): Promise<Caller> {
    const { hearing } = this.#options.notifications;
    const readAt = this.#clock.now();
    const revocations = this.#revocations;
    const { good } = await this.#reads.add(hash);
    if (!good) {
      this.#known.delete(hash);
      this.#refused.set(hash, true, USER_TOKEN_REFUSED_MS);
      throw unknownToken();
    }
    const { subject, projectId: project, roles, expiresAt } = good.userToken;
    const caller = { subject, project, roles, expiresAt };
    // One that was heard meanwhile may be later than what was read.
    if (revocations === this.#revocations) {
      this.#known.set(hash, { caller, readAt, hearing }, readAt + good.remainingMs - this.#clock.now());
    }
    return caller;
  }

  /** Which one was revoked is not asked: it happens seldom, and the others are read again. */
  #forget(): void {
    this.#revocations += 1;
    this.#known.clear();
  }
}
