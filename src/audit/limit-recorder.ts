// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/clock.js";
import { LIMIT_NOTE_INTERVAL_MS } from "../lib/limits.js";
import { RateLimit } from "../lib/rate-limit.js";
import type { Asker, LimitNotes } from "../rpc/limit.js";
import type { ControllerMetrics } from "../telemetry/controller-metrics.js";
import type { RefusalRecorder } from "./refusal-recorder.js";

/**
 * Counts everything that limits refuse, and notes, in log and audit, that a caller or an address is at one: once a minute, and
 * no more of them a second than of any refusals. Whoever floods fills no disk.
 */
export class LimitRecorder implements LimitNotes {
  readonly #recorder: Pick<RefusalRecorder, "record">;
  readonly #metrics: Pick<ControllerMetrics, "limitsReached">;
  readonly #notes: RateLimit;

  constructor(
    recorder: Pick<RefusalRecorder, "record">,
    metrics: Pick<ControllerMetrics, "limitsReached">,
    clock: Clock,
  ) {
    this.#recorder = recorder;
    this.#metrics = metrics;
    this.#notes = new RateLimit({ perSecond: 1_000 / LIMIT_NOTE_INTERVAL_MS, burst: 1 }, clock);
  }

  /** See LimitNotes. */
  note(limit: string, key: string, { caller, clientAddress, requestId }: Asker): void {
    this.#metrics.limitsReached.inc({ limit });
    if (this.#notes.take(`${limit} ${key}`) > 0) return;
    const { subject = "", project: projectId = "" } = caller ?? {};
    const actor = { subject, projectId, requestId, clientAddress };
    this.#recorder.record({ actor, reason: "LIMITED", limit });
  }
}
