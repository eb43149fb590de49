// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../../src/lib/clock.js";

interface Timer {
  readonly at: number;
  readonly action: () => void;
}

/** A clock that stands still until a test moves it. */
export class FakeClock implements Clock {
  readonly #timers = new Set<Timer>();
  #now = 0;

  now(): number {
    return this.#now;
  }

  after(ms: number, action: () => void): () => void {
    const timer = { at: this.#now + ms, action };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** How long until the next timer; undefined where none waits. */
  get nextIn(): number | undefined {
    const first = this.#first();
    return first && first.at - this.#now;
  }

  /** Moves time on and runs every timer that is due, in order of its time. */
  advance(ms: number): void {
    const end = this.#now + ms;
    for (let timer = this.#first(); timer && timer.at <= end; timer = this.#first()) {
      this.#timers.delete(timer);
      this.#now = timer.at;
      timer.action();
    }
    this.#now = end;
  }

  #first(): Timer | undefined {
    return [...this.#timers].sort((a, b) => a.at - b.at)[0];
  }
}
