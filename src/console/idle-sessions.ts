// SPDX-License-Identifier: Apache-2.0
import type { Database } from "../db/pool.js";
import type { Clock } from "../lib/clock.js";
import { pause } from "../lib/deadline.js";
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
  readonly #stopping = new AbortController();
  #loop: Promise<void> | undefined;

  constructor(options: IdleSessionsOptions) {
    this.#options = options;
  }

  /** Begins to look. */
  start(): void {
    this.#loop ??= this.#run();
  }

  /** Waits for the look that is under way. Twice is harmless. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#loop;
  }

  async #run(): Promise<void> {
    const { database, clock } = this.#options;
    while (await pause(SESSION_SYNC_MS, this.#stopping.signal, clock)) if (database.isReady()) await this.#look();
  }

  async #look(): Promise<void> {
    const { endings, metrics, log } = this.#options;
    try {
      metrics.limitsReached.inc({ limit: "idle_time" }, await endings.endIdle());
    } catch (error) {
      log.debug({ err: error }, "idle sessions were not looked for; trying again");
    }
  }
}
