// SPDX-License-Identifier: Apache-2.0

/** Bounds of a backoff, in milliseconds. */
export interface BackoffBounds {
  readonly firstMs: number;
  readonly mostMs: number;
}

/**
 * Growing waits with full jitter: each is random between zero and a window that doubles up to a cap, so that a thousand
 * agents that lost the same controller do not come back in the same instant.
 */
export class Backoff {
  readonly #bounds: BackoffBounds;
  readonly #random: () => number;
  #windowMs: number;

  constructor(bounds: BackoffBounds, random: () => number = Math.random) {
    this.#bounds = bounds;
    this.#random = random;
    this.#windowMs = bounds.firstMs;
  }

  /** The next wait in milliseconds; the window grows. */
  next(): number {
    const wait = Math.round(this.#random() * this.#windowMs);
    this.#windowMs = Math.min(this.#windowMs * 2, this.#bounds.mostMs);
    return wait;
  }

  /** After a success: the next wait is a short one again. */
  reset(): void {
    this.#windowMs = this.#bounds.firstMs;
  }
}
