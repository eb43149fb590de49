// SPDX-License-Identifier: Apache-2.0
import type { AuditActor } from "../audit/audit-log.js";
import type { RequestContext } from "../rpc/request-context.js";

/** On whose behalf a request's rows are written. */
export function actorFrom({ caller, requestId, clientAddress }: RequestContext): AuditActor {
  return { subject: caller.subject, projectId: caller.project, requestId, clientAddress };
}
