// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/clock.js";
import { LEGACY_SETTLES_MS } from "../lib/limits.js";
import type { Log } from "../lib/log.js";

/** Says once that the legacy store fails and once that it is back, however many notice it. */
export class LegacyOutage {
  readonly #log: Log;
  readonly #clock: Clock;
  /** When it last failed; undefined while it is well. */
  #failedAt: number | undefined;

  constructor(log: Log, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  failed(error: unknown): void {
    const known = this.#failedAt !== undefined;
    this.#failedAt = this.#clock.now();
    if (!known) this.#log.warn({ err: error }, "the legacy store of console tokens fails: the database answers alone");
  }

  /** Of several servers one may answer while another does not: it is back when nobody has failed for a while. */
  answered(): void {
    if (this.#failedAt === undefined || this.#clock.now() - this.#failedAt < LEGACY_SETTLES_MS) return;
    this.#failedAt = undefined;
    this.#log.info("the legacy store of console tokens is back");
  }
}
