// SPDX-License-Identifier: Apache-2.0
import type { Database } from "../db/pool.js";
import type { Clock } from "../lib/clock.js";
import { IntervalLoop } from "../lib/interval-loop.js";
import { SESSION_SYNC_MS } from "../lib/limits.js";
import type { Part } from "../lib/lifecycle.js";
import type { Log } from "../lib/log.js";
import type { ControllerMetrics } from "../telemetry/controller-metrics.js";
import type { SessionEndings } from "./session-endings.js";

/** What the look-out needs. */
export interface IdleSessionsOptions {
  readonly endings: Pick<SessionEndings, "endIdle">;
  readonly database: Pick<Database, "isReady">;
  readonly metrics: Pick<ControllerMetrics, "limitsReached">;
  readonly log: Log;
  readonly clock: Clock;
}

/**
 * Looks once a second for sessions without input for too long, whoever has their channels, and ends them. Postgres judges,
 * by what all controllers have written and by its own clock, so it does not matter which controller asks.
 */
export class IdleSessions implements Part {
  readonly #options: IdleSessionsOptions;
  readonly #loop: IntervalLoop;

  constructor(options: IdleSessionsOptions) {
    this.#options = options;
    this.#loop = new IntervalLoop({ ms: SESSION_SYNC_MS, run: () => this.#look(), clock: options.clock });
  }

  /** Begins to look. */
  start(): void {
    this.#loop.start();
  }

  /** Waits for the look that is under way. Twice is harmless. */
  async stop(): Promise<void> {
    await this.#loop.stop();
  }

  async #look(): Promise<void> {
    const { endings, database, metrics, log } = this.#options;
    if (!database.isReady()) return;
    try {
      metrics.limitsReached.inc({ limit: "idle_time" }, await endings.endIdle());
    } catch (error) {
      log.debug({ err: error }, "idle sessions were not looked for; trying again");
    }
  }
}
