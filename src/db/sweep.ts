// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/clock.js";
import { IntervalLoop } from "../lib/interval-loop.js";
import type { Part } from "../lib/lifecycle.js";
import { PURGE_BATCH, PURGE_BATCHES_PER_ROUND, PURGE_INTERVAL_MS } from "../lib/limits.js";
import type { Log } from "../lib/log.js";
import type { Querier } from "./connection.js";
import type { Database } from "./pool.js";

/** Something to be tidied up from time to time. */
export interface SweepTask {
  readonly name: string;
  /** Handles one batch within a transaction and says how many rows; a full batch is followed by another. */
  readonly run: (querier: Querier) => Promise<number>;
}

/** What a sweep needs. */
export interface SweepOptions {
  readonly database: Database;
  readonly log: Log;
  readonly tasks: readonly SweepTask[];
  readonly clock?: Clock;
}

// Any constant will do, as long as every release uses the same.
const LOCK = { text: "select pg_try_advisory_xact_lock(7351034) as mine" };

/** Runs its tasks every few seconds in one of the controllers, whichever comes first; the others skip that batch. */
export class Sweep implements Part {
  readonly #options: SweepOptions;
  readonly #loop: IntervalLoop;

  constructor(options: SweepOptions) {
    this.#options = options;
    this.#loop = new IntervalLoop({ ms: PURGE_INTERVAL_MS, run: () => this.#runIfReady(), clock: options.clock });
  }

  /** Begins; the first round comes after one interval. */
  start(): void {
    this.#loop.start();
  }

  /** Waits for the batch that runs. Twice is harmless. */
  async stop(): Promise<void> {
    await this.#loop.stop();
  }

  /** One round of all tasks. A task that fails is logged and does not keep the others from running. */
  async round(): Promise<void> {
    for (const task of this.#options.tasks) {
      try {
        await this.#batches(task);
      } catch (error) {
        this.#options.log.warn({ err: error, task: task.name }, "a sweep failed; it is tried again later");
      }
    }
  }

  async #runIfReady(): Promise<void> {
    if (this.#options.database.isReady()) await this.round();
  }

  async #batches(task: SweepTask): Promise<void> {
    let handled = PURGE_BATCH;
    for (let batch = 0; batch < PURGE_BATCHES_PER_ROUND && handled >= PURGE_BATCH; batch += 1) {
      if (this.#loop.stopping.aborted) return;
      handled = await this.#options.database.transaction(async (querier) => {
        const [lock] = await querier.query<{ mine: boolean }>(LOCK);
        return lock?.mine ? task.run(querier) : 0;
      });
    }
  }
}
