// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "./clock.js";
import type { Rate } from "./rate-limit.js";

/** How fast one peer may speak that cannot be refused a word, since it has been said: who was too fast rests. */
export class Pace {
  readonly #clock: Clock;
  readonly #oneMs: number;
  readonly #allMs: number;
  #fullAt = 0;

  constructor({ perSecond, burst }: Rate, clock: Clock) {
    this.#clock = clock;
    this.#oneMs = perSecond > 0 ? 1_000 / perSecond : 0;
    this.#allMs = burst * this.#oneMs;
  }

  /** Takes so many, whether they are there or not; returns for how many milliseconds to rest. */
  spend(amount: number): number {
    const now = this.#clock.now();
    this.#fullAt = Math.max(this.#fullAt, now) + amount * this.#oneMs;
    return Math.max(0, this.#fullAt - now - this.#allMs);
  }
}
