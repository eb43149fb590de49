// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../src/lib/clock.js";
import { FAILURE_LINES_PER_SECOND } from "../src/lib/limits.js";
import type { Log } from "../src/lib/log.js";
import { messageOf } from "../src/lib/message-of.js";
import type { FailureName } from "./messages.js";

/** A failed request, as the log shows it. */
export interface FailedRequest {
  readonly operation: string;
  readonly requestId: string;
  readonly reason: FailureName;
  readonly err: unknown;
}

/** One line per failed request, but only so many a second at the usual level: the rest is for debugging. */
export class FailureLog {
  readonly #log: Log;
  readonly #clock: Clock;
  #second = 0;
  #lines = 0;

  constructor(log: Log, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  /** Logs a failed request: an error where it is a fault of the agent, which alone is shown with its stack. */
  failed({ err, ...fields }: FailedRequest): void {
    const fault = fields.reason === "INTERNAL";
    const level = this.#mayShow() ? (fault ? "error" : "info") : "debug";
    const detail = messageOf(err);
    this.#log[level](fault ? { ...fields, err } : { ...fields, detail }, "request failed");
  }

  #mayShow(): boolean {
    const second = Math.floor(this.#clock.now() / 1_000);
    if (second !== this.#second) {
      this.#second = second;
      this.#lines = 0;
    }
    this.#lines += 1;
    return this.#lines <= FAILURE_LINES_PER_SECOND;
  }
}
