// SPDX-License-Identifier: Apache-2.0

// How sessions begin: in one statement that uses the token up, judges the limits, ends the sessions that the new one
// displaces, and writes the audit rows of all that. What it refuses leaves the token as it was.

import { insertAudit } from "../audit/audit-log.js";
import type { Querier } from "../db/connection.js";
import { VIEWER_AWAY_S } from "../lib/limits.js";
import type { ServiceError } from "../lib/service-error.js";
import { createProof, createSessionId, hashProof, proofFromToken } from "./session-proof.js";
import type { SessionRow } from "./session-rows.js";
import { sessionColumns, sessionFromRow } from "./session-rows.js";
import { consoleInUse, limited } from "./session-rules.js";
import type { SessionRules } from "./session-rules.js";
import type { Session } from "./session.js";

/** A token about to become a session. */
export interface Redemption {
  readonly tokenHash: string;
  readonly consoleType: string;
  readonly instanceUuid: string;
  /** The host whose agent vouched for the display; the instance must still be there. */
  readonly host: string;
  readonly requestId: string;
  readonly clientAddress: string;
}

/** A token that can be used again, about to become a session. */
export interface Entry extends Redemption {
  readonly token: string;
  /** The session that it opened last; undefined where it has opened none. */
  readonly after: string | undefined;
}

/** A session that has just begun, and the only sight of its proof. */
export interface BegunSession {
  readonly session: Session;
  readonly proof: string;
  /** The sessions of the instance that ended for it with TAKEN_OVER. */
  readonly displaced: readonly string[];
}

const REDEEM = beginStatement("t.redeemed_at is null");

// A token that was redeemed without a session here was redeemed by the release before this one.
const ENTER = beginStatement(
  "t.session_id is not distinct from $15::text and (t.redeemed_at is null or t.session_id is not null)",
);

/**
 * "for share" lets a delete or a move wait for this, and it then finds the session; one that is under way is waited for,
 * and then there is no row. Of two that use the same token the second waits for the first, and `usable`, a condition on
 * the token, is asked again of what that left: only then are the limits judged, so that it displaces nobody in vain.
 */
function beginStatement(usable: string): string {
  return `
  with instance as materialized (
    select instance_uuid, name, project_id, host from instances
    where instance_uuid = $1::uuid and host = $2::text and deleted_at is null and task_state <> 'deleting' for share
  ), token as materialized (
    select t.id, t.console_type, t.expires, t.created_by, t.view_only, i.*
    from console_auth_tokens t join instance i on i.instance_uuid = t.instance_uuid
    where t.token_hash = $3::text and t.console_type = $4::text and ${usable} and t.expires > extract(epoch from now())
    for no key update of t
  ), admission as materialized (
    select token.*, a.refused_by, a.displaced from token cross join lateral admit_session(
      instance_uuid, created_by, $11::integer, $12::integer, $13::text, $14::integer * interval '1 s',
      project_id, $7::text, $8::text) a
  ), used as (
    update console_auth_tokens t
    set redeemed_at = coalesce(t.redeemed_at, now()), session_id = $5::text, updated_at = now()
    from admission a where t.id = a.id and a.refused_by is null
  ), begun as (
    insert into console_sessions (session_id, proof_hash, token_id, instance_uuid, instance_name, project_id, host,
      console_type, subject, client_address, request_id, view_only, expires_at)
    select $5::text, $6::text, id, instance_uuid, name, project_id, host, console_type, created_by, $8::text, $7::text,
      view_only, least(case when $9::integer > 0 then now() + $9::integer * interval '1 s' end,
        case when $10::boolean then to_timestamp(expires) end)
    from admission where refused_by is null
    returning *
  ), noted as (
    ${insertAudit(
      {
        action: "redeemed",
        actor: ["subject", "project_id", "request_id", "client_address"],
        instanceUuid: "instance_uuid",
        host: "host",
        consoleType: "console_type",
        tokenId: "token_id",
        sessionId: "session_id",
      },
      "from begun",
    )}
  )
  select a.refused_by as "refusedBy", a.displaced, ${sessionColumns("begun")} from admission a left join begun on true`;
}

interface BegunRow extends SessionRow {
  readonly refusedBy: "max_per_instance" | "max_per_caller" | "second_viewer" | null;
  readonly displaced: readonly string[];
}

/** Begins sessions. */
export class SessionBeginnings {
  readonly #database: Querier;
  readonly #rules: SessionRules;

  constructor(database: Querier, rules: SessionRules) {
    this.#database = database;
    this.#rules = rules;
  }

  /**
   * Redeems the token and begins its session, both or neither. Undefined where the token is used, expired or gone by now,
   * or the instance deleted, being deleted or on another host: of two at the same instant one gets the session. Throws
   * LIMITED or CONSOLE_IN_USE; the token can then be used later.
   */
  async redeem(redemption: Redemption): Promise<BegunSession | undefined> {
    const proof = createProof();
    const values = this.#values(redemption, createSessionId(), proof);
    const [row] = await this.#database.query<BegunRow>({ name: "sessions-redeem", text: REDEEM, values });
    return row && this.#begunFrom(row, proof);
  }

  /**
   * Begins the next session of a token that can be used again. Undefined where `redeem` says so too, except that the token
   * may be used, and where another session of it has begun since `after`. Throws as `redeem` does.
   */
  async enter(entry: Entry): Promise<BegunSession | undefined> {
    const sessionId = createSessionId();
    const proof = proofFromToken(entry.token, sessionId);
    const values = [...this.#values(entry, sessionId, proof), entry.after ?? null];
    const [row] = await this.#database.query<BegunRow>({ name: "sessions-enter", text: ENTER, values });
    return row && this.#begunFrom(row, proof);
  }

  #begunFrom(row: BegunRow, proof: string): BegunSession {
    if (row.refusedBy !== null) throw this.#refusal(row.refusedBy);
    return { session: sessionFromRow(row), proof, displaced: row.displaced };
  }

  #refusal(limit: NonNullable<BegunRow["refusedBy"]>): ServiceError {
    const { maxPerInstance, maxPerCaller } = this.#rules;
    if (limit === "second_viewer") return consoleInUse();
    return limited(limit, limit === "max_per_instance" ? maxPerInstance : maxPerCaller);
  }

  #values(redemption: Redemption, sessionId: string, proof: string): readonly unknown[] {
    const { instanceUuid, host, tokenHash, consoleType, requestId, clientAddress } = redemption;
    const { maxLengthS, endsWithToken, maxPerInstance, maxPerCaller, secondViewer } = this.#rules;
    const whose = [instanceUuid, host, tokenHash, consoleType];
    const what = [sessionId, hashProof(proof), requestId, clientAddress, maxLengthS, endsWithToken];
    return [...whose, ...what, maxPerInstance, maxPerCaller, secondViewer, VIEWER_AWAY_S];
  }
}
