// SPDX-License-Identifier: Apache-2.0

// Sessions as Postgres has them. A session begins, and ends, in one statement together with its audit row. Every expiry
// is judged by Postgres' clock within the statement that asks.

import { SYSTEM_ACTOR, actorParameters, actorValues, insertAudit } from "../audit/audit-log.js";
import type { AuditActor } from "../audit/audit-log.js";
import type { Querier } from "../db/connection.js";
import { NUMBER_KEYS, pageOf, pageSize, pageStart } from "../db/page-token.js";
import type { Page, PageRequest } from "../db/page-token.js";
import { MAX_CHANNELS_SHOWN, PURGE_BATCH, SESSION_KEPT_DAYS } from "../lib/limits.js";
import type { Session, SessionEndReason, SessionWithChannels } from "./session.js";
import { createProof, createSessionId, hashProof, proofFromToken } from "./session-proof.js";
import { channelsColumn, sessionColumns, sessionFromRow, sessionWithChannelsFromRow } from "./session-rows.js";
import type { SessionRow, SessionWithChannelsRow } from "./session-rows.js";

/** How long sessions may last. */
export interface SessionTimes {
  /** After so many seconds a session ends whatever happens; 0 = never. */
  readonly maxLengthS: number;
  /** Whether a session ends with the time of its token (Nova's enforce_session_timeout). */
  readonly endsWithToken: boolean;
  /** For so many seconds a session without channels can be joined again. */
  readonly rejoinS: number;
}

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
}

/** Which sessions to list; an absent filter matches everything. */
export interface SessionFilters {
  readonly instanceUuid?: string | undefined;
  readonly host?: string | undefined;
  readonly subject?: string | undefined;
  readonly projectId?: string | undefined;
  readonly includeEnded: boolean;
}

/** A session as it stands by Postgres' clock. */
export interface StandingSession {
  readonly session: Session;
  /** True from its expiry on, also before anybody has ended it. */
  readonly expired: boolean;
}

/** The last session of a token. */
export interface EnteredSession extends StandingSession {
  /** What the token proves it with; undefined where the token was redeemed for a proof of its own. */
  readonly proof: string | undefined;
  /** What the token's URL began with. */
  readonly accessUrlBase: string | undefined;
}

const REDEEM = beginStatement("t.redeemed_at is null");

// A token that was redeemed without a session here was redeemed by the release before this one.
const ENTER = beginStatement(
  "t.session_id is not distinct from $11::text and (t.redeemed_at is null or t.session_id is not null)",
);

/**
 * "for share" lets a delete or a move wait for this, and it then finds the session; one that is under way is waited for,
 * and then there is no row. Of two that use the same token the second waits for the first, and `usable`, a condition on
 * the token, is asked again of what that left.
 */
function beginStatement(usable: string): string {
  return `
  with instance as materialized (
    select instance_uuid, name, project_id, host from instances
    where instance_uuid = $1::uuid and host = $2::text and deleted_at is null and task_state <> 'deleting' for share
  ), token as (
    update console_auth_tokens t
    set redeemed_at = coalesce(t.redeemed_at, now()), session_id = $5::text, updated_at = now() from instance i
    where t.token_hash = $3::text and t.console_type = $4::text and t.instance_uuid = i.instance_uuid
      and ${usable} and t.expires > extract(epoch from now())
    returning t.id, t.console_type, t.expires, t.created_by, i.instance_uuid, i.name, i.project_id, i.host
  ), begun as (
    insert into console_sessions (session_id, proof_hash, token_id, instance_uuid, instance_name, project_id, host,
      console_type, subject, client_address, request_id, expires_at)
    select $5::text, $6::text, id, instance_uuid, name, project_id, host, console_type, created_by, $8::text, $7::text,
      least(case when $9::integer > 0 then now() + $9::integer * interval '1 s' end,
        case when $10::boolean then to_timestamp(expires) end)
    from token
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
  select ${sessionColumns("begun")} from begun`;
}

const READ_ENTERED = `
  select ${sessionColumns("s")}, coalesce(s.expires_at <= now(), false) as expired, s.proof_hash as "proofHash",
    t.access_url_base as "accessUrlBase"
  from console_auth_tokens t join console_sessions s on s.session_id = t.session_id
  where t.token_hash = $1::text and t.expires > extract(epoch from now())`;

const READ_PROVEN = `
  select ${sessionColumns("s")}, coalesce(s.expires_at <= now(), false) as expired
  from console_sessions s where s.session_id = $1::text and s.proof_hash = $2::text`;

const READ = `
  select ${sessionColumns("s")}, ${channelsColumn("s", "$2::integer")}
  from console_sessions s where s.session_id = $1::text`;

const BY_ID = `
  select session_id, $6::text as reason from console_sessions
  where session_id = any ($7::text[]) and ended_at is null order by session_id for no key update`;

const BY_INSTANCE = `
  select s.session_id, a.reason from console_sessions s
    join unnest($6::uuid[], $7::text[]) as a (instance_uuid, reason) on a.instance_uuid = s.instance_uuid
  where s.ended_at is null order by s.session_id for no key update of s`;

const BY_EXPIRY_OF_ONE = `
  select session_id, 'SESSION_EXPIRED' as reason from console_sessions
  where session_id = $6::text and ended_at is null and expires_at <= now() for no key update`;

// Who is about to join holds the row's lock: it is left to the next round.
const BY_EXPIRY = `
  select session_id, 'SESSION_EXPIRED' as reason from console_sessions
  where ended_at is null and expires_at <= now()
  order by session_id limit $6::integer for no key update skip locked`;

const BY_ABANDONMENT = `
  select session_id, 'ABANDONED' as reason from console_sessions
  where ended_at is null and empty_since <= now() - $7::integer * interval '1 s'
  order by session_id limit $6::integer for no key update skip locked`;

/** Everybody locks sessions in order of their ids, so that two statements about the same ones cannot block each other. */
function endStatement(chosen: string): string {
  return `
  with chosen as materialized (${chosen}
  ), ended as (
    update console_sessions s
    set ended_at = now(), end_reason = c.reason, ended_by = $1::text, changed_in = pg_current_xact_id()
    from chosen c where s.session_id = c.session_id and s.ended_at is null
    returning s.*
  ), noted as (
    ${insertAudit(
      {
        action: "ended",
        actor: actorParameters(2),
        reason: "end_reason",
        instanceUuid: "instance_uuid",
        host: "host",
        consoleType: "console_type",
        sessionId: "session_id",
      },
      "from ended",
    )}
  )
  select ${sessionColumns("ended")} from ended`;
}

const END_BY_ID = endStatement(BY_ID);
const END_BY_INSTANCE = endStatement(BY_INSTANCE);
const END_EXPIRED_ONE = endStatement(BY_EXPIRY_OF_ONE);
const END_EXPIRED = endStatement(BY_EXPIRY);
const END_ABANDONED = endStatement(BY_ABANDONMENT);

const PURGE = `
  delete from console_sessions where session_id in (
    select session_id from console_sessions where ended_at <= now() - $1::integer * interval '1 day'
    limit $2::integer for update skip locked
  ) returning session_id`;

interface EnteredRow extends SessionRow {
  readonly expired: boolean;
  readonly proofHash: string;
  readonly accessUrlBase: string | null;
}

/** Nobody's name: what the system ended of its own accord. */
const BY_NOBODY = ["", ...actorValues(SYSTEM_ACTOR)];

/** Sessions that exist. */
export class SessionStore {
  readonly #database: Querier;
  readonly #times: SessionTimes;

  constructor(database: Querier, times: SessionTimes) {
    this.#database = database;
    this.#times = times;
  }

  /**
   * Redeems the token and begins its session, both or neither. Undefined where the token is used, expired or gone by now,
   * or the instance deleted, being deleted or on another host: of two at the same instant one gets the session.
   */
  async redeem(redemption: Redemption): Promise<BegunSession | undefined> {
    const proof = createProof();
    const values = this.#beginValues(redemption, createSessionId(), proof);
    const [row] = await this.#database.query<SessionRow>({ name: "sessions-redeem", text: REDEEM, values });
    return row && { session: sessionFromRow(row), proof };
  }

  /**
   * Begins the next session of a token that can be used again. Undefined where `redeem` says so too, except that the token
   * may be used, and where another session of it has begun since `after`.
   */
  async enter(entry: Entry): Promise<BegunSession | undefined> {
    const sessionId = createSessionId();
    const proof = proofFromToken(entry.token, sessionId);
    const values = [...this.#beginValues(entry, sessionId, proof), entry.after ?? null];
    const [row] = await this.#database.query<SessionRow>({ name: "sessions-enter", text: ENTER, values });
    return row && { session: sessionFromRow(row), proof };
  }

  /** The session that an unexpired token opened last, ended or not. */
  async findEntered(tokenHash: string, token: string): Promise<EnteredSession | undefined> {
    const query = { name: "sessions-entered", text: READ_ENTERED, values: [tokenHash] };
    const [row] = await this.#database.query<EnteredRow>(query);
    if (!row) return undefined;
    const session = sessionFromRow(row);
    const proof = proofFromToken(token, session.sessionId);
    return {
      session,
      expired: row.expired,
      proof: hashProof(proof) === row.proofHash ? proof : undefined,
      accessUrlBase: row.accessUrlBase ?? undefined,
    };
  }

  /** The session whose proof this is; undefined for an unknown id as for a wrong proof. */
  async findProven(sessionId: string, proof: string): Promise<StandingSession | undefined> {
    const values = [sessionId, hashProof(proof)];
    const query = { name: "sessions-proven", text: READ_PROVEN, values };
    const [row] = await this.#database.query<SessionRow & { expired: boolean }>(query);
    return row && { session: sessionFromRow(row), expired: row.expired };
  }

  /** A session with its channels. */
  async find(sessionId: string): Promise<SessionWithChannels | undefined> {
    const values = [sessionId, MAX_CHANNELS_SHOWN];
    const [row] = await this.#database.query<SessionWithChannelsRow>({ name: "sessions-read", text: READ, values });
    return row && sessionWithChannelsFromRow(row);
  }

  /** One page, newest first. INVALID_ARGUMENT for a page token of another list. */
  async list(filters: SessionFilters, page: PageRequest): Promise<Page<Session>> {
    const { instanceUuid, host, subject, projectId, includeEnded } = filters;
    const values: unknown[] = [pageSize(page) + 1];
    const conditions = includeEnded ? [] : ["s.ended_at is null"];
    const filterBy = (column: string, comparison: string, value: string | undefined): void => {
      if (value !== undefined) conditions.push(`s.${column} ${comparison} $${values.push(value)}`);
    };
    filterBy("instance_uuid", "=", instanceUuid);
    filterBy("host", "=", host);
    filterBy("subject", "=", subject);
    filterBy("project_id", "=", projectId);
    filterBy("number", "<", pageStart(page, filters, NUMBER_KEYS));
    const where = conditions.length === 0 ? "" : `where ${conditions.join(" and ")}`;
    const text = `select ${sessionColumns("s")}, s.number from console_sessions s ${where}
      order by s.number desc limit $1::integer`;
    const rows = await this.#database.query<SessionRow & { number: bigint }>({ text, values });
    const { items, nextPageToken } = pageOf(rows, page, filters, (row) => String(row.number));
    return { items: items.map(sessionFromRow), nextPageToken };
  }

  /** Ends sessions. Returns those that this call ended; ones that had ended stay as they are. */
  end(ids: readonly string[], reason: SessionEndReason, by: AuditActor): Promise<readonly Session[]> {
    const values = [by.subject, ...actorValues(by), reason, ids];
    return readSessions(this.#database, { name: "sessions-end", text: END_BY_ID, values });
  }

  /** Ends all sessions of instances to which something happened. Returns those that this call ended. */
  endOfInstances(
    happened: readonly { readonly instanceUuid: string; readonly reason: SessionEndReason }[],
  ): Promise<readonly Session[]> {
    const uuids = happened.map(({ instanceUuid }) => instanceUuid);
    const values = [...BY_NOBODY, uuids, happened.map(({ reason }) => reason)];
    return readSessions(this.#database, { name: "sessions-end-instances", text: END_BY_INSTANCE, values });
  }

  /** Ends a session whose time is up; returns nothing where it is not, or the session had ended. */
  async endIfExpired(sessionId: string): Promise<Session | undefined> {
    const query = { name: "sessions-end-expired", text: END_EXPIRED_ONE, values: [...BY_NOBODY, sessionId] };
    return (await readSessions(this.#database, query))[0];
  }

  /** Ends a batch of sessions whose time is up. */
  endExpired(querier: Querier): Promise<readonly Session[]> {
    return readSessions(querier, { text: END_EXPIRED, values: [...BY_NOBODY, PURGE_BATCH] });
  }

  /** Ends a batch of sessions that nobody joined again in time. */
  endAbandoned(querier: Querier): Promise<readonly Session[]> {
    const values = [...BY_NOBODY, PURGE_BATCH, this.#times.rejoinS];
    return readSessions(querier, { text: END_ABANDONED, values });
  }

  #beginValues(redemption: Redemption, sessionId: string, proof: string): readonly unknown[] {
    const { instanceUuid, host, tokenHash, consoleType, requestId, clientAddress } = redemption;
    const { maxLengthS, endsWithToken } = this.#times;
    const whose = [instanceUuid, host, tokenHash, consoleType];
    return [...whose, sessionId, hashProof(proof), requestId, clientAddress, maxLengthS, endsWithToken];
  }
}

/** Deletes a batch of sessions that ended a week ago, with their channels, and says how many. */
export async function purgeSessions(querier: Querier): Promise<number> {
  return (await querier.query({ text: PURGE, values: [SESSION_KEPT_DAYS, PURGE_BATCH] })).length;
}

async function readSessions(querier: Querier, query: Parameters<Querier["query"]>[0]): Promise<readonly Session[]> {
  return (await querier.query<SessionRow>(query)).map(sessionFromRow);
}
