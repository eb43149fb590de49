// SPDX-License-Identifier: Apache-2.0

// Who opened which console. A row is part of the statement that does what it tells of: the two exist together or not
// at all. Other folders put the fragment made here into their own statements.

import type { Querier } from "../db/connection.js";
import type { ErrorReason } from "../lib/service-error.js";

/** On whose behalf something happens. Unknown texts are empty. */
export interface AuditActor {
  readonly subject: string;
  readonly projectId: string;
  readonly requestId: string;
  readonly clientAddress: string;
}

/** What this program does of its own accord, for example when an instance moves. */
export const SYSTEM_ACTOR: AuditActor = { subject: "spicegate", projectId: "", requestId: "", clientAddress: "" };

/** What audit rows tell of. */
export type AuditAction =
  | "issued"
  | "looked-up"
  | "revoked"
  | "redeemed"
  | "refused"
  | "ended"
  | "channel-opened"
  | "channel-closed"
  | "adopted"
  | "join-token-created"
  | "host-enrolled"
  | "host-renewed"
  | "host-revoked"
  | "user-token-created"
  | "user-tokens-revoked";

/** Subject, project, request id and client address of an actor as SQL expressions. */
export type ActorExpressions = readonly [string, string, string, string];

/** What a row says: SQL expressions, valid where the fragment is used. */
export interface AuditExpressions {
  readonly action: AuditAction;
  /** The actor's four values; see `actorParameters`. */
  readonly actor: ActorExpressions;
  readonly reason?: string;
  readonly instanceUuid?: string;
  /** The host's name. */
  readonly host?: string;
  readonly consoleType?: string;
  readonly tokenId?: string;
  readonly tokenCount?: string;
  readonly sessionId?: string;
  readonly channelId?: string;
  /** Whose tokens, where they are a user's. */
  readonly targetSubject?: string;
}

/** The actor as four parameters of a statement, the first of them at this position; `actorValues` are their values. */
export function actorParameters(at: number): ActorExpressions {
  return [`$${at}::text`, `$${at + 1}::text`, `$${at + 2}::text`, `$${at + 3}::text`];
}

/** The values of an actor's parameters. */
export function actorValues(actor: AuditActor): readonly string[] {
  return [actor.subject, actor.projectId, actor.requestId, actor.clientAddress];
}

/** `insert into audit_events … select … <source>`: one row for each row of the source ("from issued"), or one row. */
export function insertAudit(row: AuditExpressions, source = ""): string {
  return `insert into audit_events (action, subject, project_id, request_id, client_address,
      reason, instance_uuid, host, console_type, token_id, token_count, session_id, channel_id, target_subject)
    select '${row.action}', ${row.actor.join(", ")},
      ${row.reason ?? "''"}, ${row.instanceUuid ?? "null::uuid"}, ${row.host ?? "null::text"},
      ${row.consoleType ?? "null::text"}, ${row.tokenId ?? "null::bigint"}, ${row.tokenCount ?? "null::integer"},
      ${row.sessionId ?? "null::text"}, ${row.channelId ?? "null::bigint"}, ${row.targetSubject ?? "null::text"}
    ${source}`;
}

/** Something that was refused: a caller, by a reason of the API, or an agent, by one of its protocol. */
export interface Refusal {
  readonly actor: AuditActor;
  readonly reason: ErrorReason | "HOST_MISMATCH" | "HOST_REVOKED";
  /** The host that an agent claims to be of. */
  readonly host?: string | undefined;
  readonly instanceUuid?: string | undefined;
  readonly consoleType?: string | undefined;
  readonly sessionId?: string | undefined;
}

const REFUSED = insertAudit({
  action: "refused",
  actor: actorParameters(1),
  reason: "$5::text",
  instanceUuid: "$6::uuid",
  consoleType: "$7::text",
  sessionId: "$8::text",
  host: "$9::text",
});

/** Records what has no statement of its own. */
export class AuditLog {
  readonly #database: Querier;

  constructor(database: Querier) {
    this.#database = database;
  }

  /** Throws DATABASE_UNAVAILABLE where the row could not be written. */
  async recordRefusal(refusal: Refusal): Promise<void> {
    const { actor, reason, instanceUuid, consoleType, sessionId, host } = refusal;
    const optional = [instanceUuid, consoleType, sessionId, host].map((value) => value ?? null);
    const values = [...actorValues(actor), reason, ...optional];
    await this.#database.query({ name: "audit-refused", text: REFUSED, values });
  }
}
