// SPDX-License-Identifier: Apache-2.0
import type { Refusal } from "../audit/audit-log.js";
import type { RefusalRecorder } from "../audit/refusal-recorder.js";
import { reasonOf, ServiceError } from "../lib/service-error.js";
import type { ErrorReason } from "../lib/service-error.js";
import type { ControllerMetrics } from "../telemetry/controller-metrics.js";
import type { RefusalNotes, ViewerContext } from "./viewer.js";

/** What is known of a viewer that is refused. */
export interface Refused extends Pick<Refusal, "instanceUuid" | "consoleType" | "sessionId"> {
  /** Who asked for the console; empty while unknown. */
  readonly subject?: string;
  readonly projectId?: string;
}

/** Says nothing of the viewer: it went away by itself. */
const NO_REFUSAL: readonly ErrorReason[] = ["CANCELLED"];

/** Counts and notes what viewers are refused. */
export class ViewerRefusals implements RefusalNotes {
  readonly #recorder: Pick<RefusalRecorder, "record">;
  readonly #metrics: Pick<ControllerMetrics, "refusals" | "limitsReached">;

  constructor(
    recorder: Pick<RefusalRecorder, "record">,
    metrics: Pick<ControllerMetrics, "refusals" | "limitsReached">,
  ) {
    this.#recorder = recorder;
    this.#metrics = metrics;
  }

  /** Notes the error in the background; the caller throws it on. */
  note(error: unknown, { subject = "", projectId = "", ...about }: Refused, context: ViewerContext): void {
    const reason = reasonOf(error);
    if (NO_REFUSAL.includes(reason)) return;
    this.#metrics.refusals.inc({ reason });
    const limit = limitOf(error);
    if (limit !== undefined) this.#metrics.limitsReached.inc({ limit });
    const { requestId, clientAddress } = context;
    this.#recorder.record({ ...about, reason, actor: { subject, projectId, requestId, clientAddress } });
  }
}

/** The setting that refused; undefined where none did. */
function limitOf(error: unknown): string | undefined {
  return error instanceof ServiceError ? error.metadata["limit"] : undefined;
}
