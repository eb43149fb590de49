// SPDX-License-Identifier: Apache-2.0
// How often something may happen, for each of many keys, in memory that is bounded whoever asks. A token bucket of which
// nothing is kept but the moment at which it is full again; one that is full need not be kept at all.
import type { Clock } from "./clock.js";
import { LOOKS_FOR_ROOM, MAX_LIMITED_KEYS } from "./limits.js";

/** How often something may happen. */
export interface Rate {
  /** In the long run; 0 = any number. */
  readonly perSecond: number;
  /** At once, after a time of rest; at least 1. */
  readonly burst: number;
}

/** A bucket for each key. */
export class RateLimit {
  readonly #clock: Clock;
  readonly #mostKeys: number;
  /** Milliseconds in which a bucket gets one; 0 = there is no limit. */
  readonly #oneMs: number;
  readonly #allMs: number;
  readonly #fullAt = new Map<string, number>();
  #hand = this.#fullAt.entries();

  constructor({ perSecond, burst }: Rate, clock: Clock, mostKeys = MAX_LIMITED_KEYS) {
    this.#clock = clock;
    this.#mostKeys = mostKeys;
    this.#oneMs = perSecond > 0 ? 1_000 / perSecond : 0;
    this.#allMs = burst * this.#oneMs;
  }

  /** How many keys are remembered. */
  get size(): number {
    return this.#fullAt.size;
  }

  /** Takes one and returns 0, or takes nothing and returns after how many milliseconds there is one. */
  take(key: string): number {
    if (this.#oneMs === 0) return 0;
    const now = this.#clock.now();
    const known = this.#fullAt.get(key);
    const fullAt = Math.max(known ?? now, now) + this.#oneMs;
    const early = fullAt - now - this.#allMs;
    if (early > 0) return Math.ceil(early);
    if (known === undefined) this.#makeRoom(now);
    this.#fullAt.set(key, fullAt);
    return 0;
  }

  /** What `take` would return, taking nothing. */
  wait(key: string): number {
    if (this.#oneMs === 0) return 0;
    const now = this.#clock.now();
    const fullAt = this.#fullAt.get(key) ?? now;
    return Math.max(0, Math.ceil(fullAt + this.#oneMs - now - this.#allMs));
  }

  /** The share of the burst that is taken, from 0 to 1. */
  taken(key: string): number {
    const fullAt = this.#fullAt.get(key);
    return fullAt === undefined ? 0 : Math.max(0, fullAt - this.#clock.now()) / this.#allMs;
  }

  /**
   * Forgets those that it comes by and that are full again: nothing is lost with them. Where there is still no room, the one
   * that has taken least goes, so that a crowd of keys that ask once each drives out itself, and not who asks all the time.
   */
  #makeRoom(now: number): void {
    let least: string | undefined;
    let leastFullAt = Infinity;
    for (let looks = 0; looks < LOOKS_FOR_ROOM; looks += 1) {
      const next = this.#next();
      if (!next) return;
      const [key, fullAt] = next;
      if (fullAt <= now) this.#fullAt.delete(key);
      else if (fullAt < leastFullAt) [least, leastFullAt] = next;
    }
    if (least !== undefined && this.#fullAt.size >= this.#mostKeys) this.#fullAt.delete(least);
  }

  /** The next one, round and round; undefined where there is none. */
  #next(): [string, number] | undefined {
    const { value, done } = this.#hand.next();
    if (!done) return value;
    this.#hand = this.#fullAt.entries();
    return this.#hand.next().value;
  }
}
