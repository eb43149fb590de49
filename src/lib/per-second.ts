// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "./clock.js";

/** Says of what may come any number of times whether there has been enough of it in this second. */
export class PerSecond {
  readonly #most: number;
  readonly #clock: Clock;
  #second = -1;
  #count = 0;

  constructor(most: number, clock: Clock) {
    this.#most = most;
    this.#clock = clock;
  }

  /** Counts one more; false where it is one too many. */
  allows(): boolean {
    const second = Math.floor(this.#clock.now() / 1_000);
    if (second !== this.#second) this.#count = 0;
    this.#second = second;
    this.#count += 1;
    return this.#count <= this.#most;
  }
}
