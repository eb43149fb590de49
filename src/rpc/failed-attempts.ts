// SPDX-License-Identifier: Apache-2.0
// What is tried in vain: tokens, cookies, join tokens. Who has tried too much is not listened to for a while, so that a
// stranger costs neither a statement nor a question to anybody.
import type { Clock } from "../lib/clock.js";
import { pause } from "../lib/deadline.js";
import { MAX_SLOW_ANSWERS, MAX_SLOW_ANSWERS_PER_ADDRESS, SLOW_ANSWER_MS } from "../lib/limits.js";
import type { ErrorReason } from "../lib/service-error.js";
import { reasonOf, ServiceError } from "../lib/service-error.js";
import type { Asker, Limit } from "./limit.js";

/** What is refused because of what was shown, and nothing else. */
const IN_VAIN: readonly ErrorReason[] = [
  "UNAUTHENTICATED",
  "TOKEN_INVALID",
  "TOKEN_EXPIRED",
  "TOKEN_USED",
  "SESSION_NOT_FOUND",
];

/** Who tries, and for how long it waits for the answer. */
export interface Attempt extends Asker {
  readonly signal: AbortSignal;
}

/** Counts attempts that fail, by where they come from; good ones are free, and never wait. */
export class FailedAttempts {
  readonly #limit: Limit;
  readonly #clock: Clock;
  readonly #slow = new Map<string, number>();
  #allSlow = 0;

  constructor(limit: Limit, clock: Clock) {
    this.#limit = limit;
    this.#clock = clock;
  }

  /** Does the work, or throws LIMITED where so many have failed that the next one is not even looked at. See also `failed`. */
  async guard<T>(attempt: Attempt, work: () => Promise<T>): Promise<T> {
    this.#limit.require(attempt);
    try {
      return await work();
    } catch (error) {
      await this.failed(error, attempt);
      throw error;
    }
  }

  /**
   * For who knows the good ones without asking: the attempt's own signal, or where so many have failed that nobody is to be
   * asked, one that has aborted with LIMITED.
   */
  signalFor(attempt: Attempt): AbortSignal {
    const refusal = this.#limit.refusal(attempt);
    return refusal ? AbortSignal.abort(refusal) : attempt.signal;
  }

  /**
   * Counts an error that bad credentials have caused, and holds the answer back where there were many. Throws LIMITED
   * where too many are held back already; any other error is none of its business.
   */
  async failed(error: unknown, attempt: Attempt): Promise<void> {
    if (error instanceof ServiceError && error.metadata["limit"] === this.#limit.name) this.#limit.note(attempt);
    if (!IN_VAIN.includes(reasonOf(error))) return;
    this.#limit.take(attempt);
    const key = this.#limit.keyOfBusy(attempt);
    if (key !== undefined) await this.#holdBack(key, attempt);
  }

  async #holdBack(key: string, attempt: Attempt): Promise<void> {
    const mine = this.#slow.get(key) ?? 0;
    if (mine >= MAX_SLOW_ANSWERS_PER_ADDRESS || this.#allSlow >= MAX_SLOW_ANSWERS) {
      this.#limit.refuse(attempt, SLOW_ANSWER_MS);
    }
    this.#slow.set(key, mine + 1);
    this.#allSlow += 1;
    await pause(SLOW_ANSWER_MS, attempt.signal, this.#clock);
    this.#allSlow -= 1;
    const left = (this.#slow.get(key) ?? 1) - 1;
    if (left === 0) this.#slow.delete(key);
    else this.#slow.set(key, left);
  }
}
