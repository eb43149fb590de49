// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/clock.js";
import { systemClock } from "../lib/clock.js";

/** Bounds of a queue for a scarce thing. */
export interface SlotBounds {
  /** How many may hold one at once. */
  readonly slots: number;
  /** How many may wait. */
  readonly waiting: number;
  /** How long each may wait, in milliseconds. */
  readonly waitMs: number;
}

interface Waiter {
  readonly grant: (granted: boolean) => void;
  readonly cancelTimer: () => void;
}

/** A counted number of slots with a bounded queue, first come, first served. */
export class Slots {
  readonly #bounds: SlotBounds;
  readonly #clock: Clock;
  readonly #waiters = new Set<Waiter>();
  #taken = 0;

  constructor(bounds: SlotBounds, clock: Clock = systemClock) {
    this.#bounds = bounds;
    this.#clock = clock;
  }

  /** Waits for a slot. False: the queue is full, the wait was too long, or everybody was sent away. */
  take(): Promise<boolean> {
    if (this.#taken < this.#bounds.slots) {
      this.#taken += 1;
      return Promise.resolve(true);
    }
    if (this.#waiters.size >= this.#bounds.waiting) return Promise.resolve(false);
    return new Promise((resolve) => {
      const cancelTimer = this.#clock.after(this.#bounds.waitMs, () => {
        this.#waiters.delete(waiter);
        resolve(false);
      });
      const waiter: Waiter = { grant: resolve, cancelTimer };
      this.#waiters.add(waiter);
    });
  }

  /** Gives a slot back; it goes to whoever waits longest. Once per successful `take`. */
  give(): void {
    for (const waiter of this.#waiters) {
      this.#dismiss(waiter, true);
      return;
    }
    this.#taken -= 1;
  }

  /** Runs work in a slot. Throws what `crowded` makes where there is none; see `take`. */
  async run<T>(work: () => Promise<T>, crowded: () => Error): Promise<T> {
    if (!(await this.take())) throw crowded();
    try {
      return await work();
    } finally {
      this.give();
    }
  }

  /** Answers false to everybody who waits. */
  sendAway(): void {
    for (const waiter of this.#waiters) this.#dismiss(waiter, false);
  }

  #dismiss(waiter: Waiter, granted: boolean): void {
    this.#waiters.delete(waiter);
    waiter.cancelTimer();
    waiter.grant(granted);
  }
}
