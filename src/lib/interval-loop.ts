// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "./clock.js";
import { systemClock } from "./clock.js";
import { pause } from "./deadline.js";
import type { Part } from "./lifecycle.js";

/** What is done, and how often. */
export interface IntervalLoopOptions {
  /** The pause before each time, in milliseconds. */
  readonly ms: number;
  /** Must not fail: there is nobody to tell. */
  readonly run: () => Promise<void> | void;
  readonly clock?: Clock | undefined;
}

/** Does something again and again, each time after a pause, until it is stopped. */
export class IntervalLoop implements Part {
  readonly #options: IntervalLoopOptions;
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;

  constructor(options: IntervalLoopOptions) {
    this.#options = options;
  }

  /** Aborts when it is to stop, for what is under way. */
  get stopping(): AbortSignal {
    return this.#stopping.signal;
  }

  /** Begins with a pause. A second call does nothing. */
  start(): void {
    this.#running ??= this.#run();
  }

  /** Waits for what is under way. Twice is harmless. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { ms, run, clock = systemClock } = this.#options;
    while (await pause(ms, this.stopping, clock)) await run();
  }
}
