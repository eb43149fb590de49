// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "./clock.js";
import { OUTAGE_SETTLES_MS } from "./limits.js";
import type { Log } from "./log.js";

/** What an outage needs. */
export interface OutageOptions {
  /** The line when it begins. */
  readonly begins: string;
  /** The line when it is over. */
  readonly ends: string;
  readonly log: Log;
  readonly clock: Clock;
}

/** Says once that something fails and once that it is back, however many notice it. */
export class Outage {
  readonly #options: OutageOptions;
  /** When it last failed; undefined while it is well. */
  #failedAt: number | undefined;

  constructor(options: OutageOptions) {
    this.#options = options;
  }

  failed(error: unknown): void {
    const { begins, log, clock } = this.#options;
    const known = this.#failedAt !== undefined;
    this.#failedAt = clock.now();
    if (!known) log.warn({ err: error }, begins);
  }

  /** Of several servers one may answer while another does not: it is over when nobody has failed for a while. */
  answered(): void {
    const { ends, log, clock } = this.#options;
    if (this.#failedAt === undefined || clock.now() - this.#failedAt < OUTAGE_SETTLES_MS) return;
    this.#failedAt = undefined;
    log.info(ends);
  }
}
