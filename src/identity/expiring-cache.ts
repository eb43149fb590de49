// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/clock.js";

/** Values by key, each for its time. When it is full the one goes that came first. */
export class ExpiringCache<V> {
  readonly #most: number;
  readonly #clock: Clock;
  readonly #entries = new Map<string, { readonly value: V; readonly until: number }>();

  constructor(most: number, clock: Clock) {
    this.#most = most;
    this.#clock = clock;
  }

  /** How many there are, with those whose time is over and nobody has asked for. */
  get size(): number {
    return this.#entries.size;
  }

  /** The value; undefined where there is none, or its time is over. */
  get(key: string): V | undefined {
    const entry = this.#entries.get(key);
    if (!entry || this.#clock.now() < entry.until) return entry?.value;
    this.#entries.delete(key);
    return undefined;
  }

  /** Keeps a value for `ms` milliseconds, in place of what the key had; not at all where that is no time. */
  set(key: string, value: V, ms: number): void {
    this.#entries.delete(key);
    if (ms <= 0) return;
    for (const first of this.#entries.keys()) {
      if (this.#entries.size < this.#most) break;
      this.#entries.delete(first);
    }
    this.#entries.set(key, { value, until: this.#clock.now() + ms });
  }

  /** Forgets one value; does nothing where there is none. */
  delete(key: string): void {
    this.#entries.delete(key);
  }

  /** Forgets all of them. */
  clear(): void {
    this.#entries.clear();
  }
}
