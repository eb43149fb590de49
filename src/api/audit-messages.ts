// SPDX-License-Identifier: Apache-2.0
// Between the audit protocol's words and ours.
import type { AuditEvent as EventMessage, ListAuditEventsRequest } from "../../proto/gen/spicegate/audit/v1/audit.js";
import { AuditAction as ActionMessage } from "../../proto/gen/spicegate/audit/v1/audit.js";
import type { AuditAction } from "../audit/audit-log.js";
import type { AuditEvent, AuditFilters } from "../audit/audit-reader.js";
import { MAX_NAME_LENGTH, MAX_SESSION_ID_LENGTH } from "../lib/limits.js";
import { invalid, parseText, parseUuid } from "../lib/validate.js";

const ACTIONS = {
  issued: ActionMessage.AUDIT_ACTION_ISSUED,
  "looked-up": ActionMessage.AUDIT_ACTION_LOOKED_UP,
  revoked: ActionMessage.AUDIT_ACTION_REVOKED,
  redeemed: ActionMessage.AUDIT_ACTION_REDEEMED,
  refused: ActionMessage.AUDIT_ACTION_REFUSED,
  ended: ActionMessage.AUDIT_ACTION_ENDED,
  "channel-opened": ActionMessage.AUDIT_ACTION_CHANNEL_OPENED,
  "channel-closed": ActionMessage.AUDIT_ACTION_CHANNEL_CLOSED,
  adopted: ActionMessage.AUDIT_ACTION_ADOPTED,
  "join-token-created": ActionMessage.AUDIT_ACTION_JOIN_TOKEN_CREATED,
  "host-enrolled": ActionMessage.AUDIT_ACTION_HOST_ENROLLED,
  "host-renewed": ActionMessage.AUDIT_ACTION_HOST_RENEWED,
  "host-revoked": ActionMessage.AUDIT_ACTION_HOST_REVOKED,
  "user-token-created": ActionMessage.AUDIT_ACTION_USER_TOKEN_CREATED,
  "user-tokens-revoked": ActionMessage.AUDIT_ACTION_USER_TOKENS_REVOKED,
} as const satisfies Record<AuditAction, ActionMessage>;

const FIRST_MOMENT = new Date("0001-01-01T00:00:00Z");
const LAST_MOMENT = new Date("9999-12-31T23:59:59.999Z");

/** The filters of a list. Throws INVALID_ARGUMENT. */
export function auditFiltersFrom(request: ListAuditEventsRequest): AuditFilters {
  const { instanceUuid, since, until } = request;
  const orAny = (text: string): string | undefined => (text === "" ? undefined : text);
  return {
    instanceUuid: instanceUuid === "" ? undefined : parseUuid(instanceUuid, "instance_uuid"),
    sessionId: orAny(parseText(request.sessionId, { field: "session_id", most: MAX_SESSION_ID_LENGTH })),
    subject: orAny(parseText(request.subject, { field: "subject", most: MAX_NAME_LENGTH })),
    action: actionFrom(request.action),
    since: momentFrom(since, "since"),
    until: momentFrom(until, "until"),
  };
}

/** An event for the wire. */
export function messageFromAuditEvent(event: AuditEvent): EventMessage {
  return {
    eventId: event.eventId,
    occurredAt: event.occurredAt,
    action: ACTIONS[event.action],
    reason: event.reason,
    subject: event.subject,
    projectId: event.projectId,
    requestId: event.requestId,
    clientAddress: event.clientAddress,
    instanceUuid: event.instanceUuid ?? "",
    host: event.host ?? "",
    consoleType: event.consoleType ?? "",
    sessionId: event.sessionId ?? "",
    channelId: event.channelId ?? 0n,
    tokenCount: event.tokenCount ?? 0,
    targetSubject: event.targetSubject ?? "",
  };
}

function actionFrom(message: ActionMessage): AuditAction | undefined {
  if (message === ActionMessage.AUDIT_ACTION_UNSPECIFIED) return undefined;
  const found = Object.entries(ACTIONS).find(([, value]) => value === message);
  if (!found) throw invalid("action", "must be a known action");
  return found[0] as AuditAction;
}

/** What a timestamp may say (timestamp.proto); the wire can carry more, down to what is no date at all. */
function momentFrom(date: Date | undefined, field: string): Date | undefined {
  if (date === undefined || (date >= FIRST_MOMENT && date <= LAST_MOMENT)) return date;
  throw invalid(field, "must be a moment between the years 0001 and 9999");
}
