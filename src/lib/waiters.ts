// SPDX-License-Identifier: Apache-2.0

/** Those who wait for one thing to happen; whoever brings it about wakes them all. The bound of a wait is its caller's. */
export class Waiters {
  readonly #wakes = new Set<() => void>();

  /** Resolves at the next `wake`. */
  wait(): Promise<void> {
    return new Promise((resolve) => this.#wakes.add(resolve));
  }

  /** Wakes all that wait now; who waits from here on waits for the next. */
  wake(): void {
    for (const wake of this.#wakes) wake();
    this.#wakes.clear();
  }
}
