// SPDX-License-Identifier: Apache-2.0
// The words between the proxy and its page.
import type { SessionStatus } from "../console/viewer.js";
import type { HttpProblem, ProblemBody } from "../http/http-problem.js";
import type { Session } from "../sessions/session.js";

/** The answer to a token. */
export function openedJson(session: Session): object {
  return {
    session_id: session.sessionId,
    path: `/s/${session.sessionId}/`,
    instance: { uuid: session.instanceUuid, name: session.instanceName },
    console_type: session.consoleType,
    view_only: session.viewOnly,
    expires_at: expiryOf(session),
  };
}

/** How a session stands. */
export function statusJson(status: SessionStatus): object {
  if (status.state === "ended") return { state: "ended", reason: status.reason };
  const { session, instance, draining, idle } = status;
  const name = instance?.name ?? session.instanceName;
  const powerState = instance?.powerState ?? "unknown";
  return {
    state: "open",
    instance: { uuid: session.instanceUuid, name, power_state: powerState },
    expires_at: expiryOf(session),
    view_only: session.viewOnly,
    draining,
    idle: idle ? { seconds_left: idle.leftS, warned_at: idle.warnedAtS } : null,
  };
}

/** A refusal. Without a time to wait, or a limit that it comes from, that field is left out. */
export const problemBody: ProblemBody = ({ reason, message, retryMs, metadata }, requestId) =>
  JSON.stringify({ reason, message, request_id: requestId, retry_after_ms: retryMs, limit: metadata["limit"] });

/** Why nothing can be said of a session. */
export function refusedJson({ reason, message }: HttpProblem): object {
  return { state: "refused", reason, message };
}

function expiryOf({ expiresAt }: Session): string | null {
  return expiresAt?.toISOString() ?? null;
}
