// SPDX-License-Identifier: Apache-2.0
import type { AuditLine } from "../audit/audit-line.js";
import type { AuditActor } from "../audit/audit-log.js";
import type { RequestContext } from "../rpc/request-context.js";

/** On whose behalf a request's rows are written. */
export function actorFrom({ caller, requestId, clientAddress }: RequestContext): AuditActor {
  return { subject: caller.subject, projectId: caller.project, requestId, clientAddress };
}

/** What a request's audit lines in the log begin with. */
export function auditLineFrom({ caller, requestId, clientAddress }: RequestContext): AuditLine {
  return { subject: caller.subject, client: clientAddress, requestId };
}
