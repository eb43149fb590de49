// SPDX-License-Identifier: Apache-2.0
import type { Refusal } from "../audit/audit-log.js";
import type { RefusalRecorder } from "../audit/refusal-recorder.js";
import { reasonOf, ServiceError } from "../lib/service-error.js";
import type { ErrorReason } from "../lib/service-error.js";
import type { Session } from "../sessions/session.js";
import type { ControllerMetrics } from "../telemetry/controller-metrics.js";
import type { RefusalNotes, ViewerContext } from "./viewer.js";

/** What is known of a viewer that is refused. */
export interface Refused extends Pick<Refusal, "instanceUuid" | "consoleType" | "sessionId"> {
  /** Who asked for the console; empty while unknown. */
  readonly subject?: string;
  readonly projectId?: string;
}

/** Takes what is known from now on, should the viewer be refused. */
export type Learn = (known: Refused) => void;

/** Says nothing of the viewer: it went away by itself. */
const NO_REFUSAL: readonly ErrorReason[] = ["CANCELLED"];

/** What the audit is told of a viewer that is refused within a session. */
export function knownOfSession({ sessionId, instanceUuid, consoleType, subject, projectId }: Session): Refused {
  return { sessionId, instanceUuid, consoleType, subject, projectId };
}

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

  /** Does the work; notes what refuses it, with what was known of the viewer by then, and throws it on. */
  async noting<T>(known: Refused, context: ViewerContext, work: (learn: Learn) => Promise<T>): Promise<T> {
    let refused = known;
    try {
      return await work((more) => void (refused = more));
    } catch (error) {
      this.note(error, refused, context);
      throw error;
    }
  }

  /** Notes the error in the background; the caller throws it on. */
  note(error: unknown, { subject = "", projectId = "", ...about }: Refused, context: ViewerContext): void {
    const reason = reasonOf(error);
    if (NO_REFUSAL.includes(reason)) return;
    this.#metrics.refusals.inc({ reason });
    const limit = limitOf(error);
    if (error instanceof ServiceError && error.noted) return;
    if (limit !== undefined) this.#metrics.limitsReached.inc({ limit });
    const { requestId, clientAddress } = context;
    this.#recorder.record({ ...about, reason, actor: { subject, projectId, requestId, clientAddress } });
  }
}

/** The setting that refused; undefined where none did. */
function limitOf(error: unknown): string | undefined {
  return error instanceof ServiceError ? error.metadata["limit"] : undefined;
}
