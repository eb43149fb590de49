// SPDX-License-Identifier: Apache-2.0

// Sessions as Postgres has them; how they begin is in session-beginnings.ts. A session ends in one statement together with
// its audit row. Every expiry is judged by Postgres' clock within the statement that asks.

import { SYSTEM_ACTOR, actorParameters, actorValues, insertAudit } from "../audit/audit-log.js";
import type { AuditActor } from "../audit/audit-log.js";
import type { Querier } from "../db/connection.js";
import { NUMBER_KEYS, pageOf, pageSize, pageStart } from "../db/page-token.js";
import type { Page, PageRequest } from "../db/page-token.js";
import {
  HEARTBEAT_SETTLES_MS,
  IDLE_SLACK_MS,
  MAX_CHANNELS_SHOWN,
  PURGE_BATCH,
  SESSION_KEPT_DAYS,
} from "../lib/limits.js";
import type { Session, SessionEndReason, SessionWithChannels } from "./session.js";
import { hashProof, proofFromToken } from "./session-proof.js";
import { channelsColumn, sessionColumns, sessionFromRow, sessionWithChannelsFromRow } from "./session-rows.js";
import type { SessionRow, SessionWithChannelsRow } from "./session-rows.js";
import type { SessionTimes } from "./session-rules.js";

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

/** A session whose viewer has proven it. */
export interface ProvenSession extends StandingSession {
  /** Milliseconds since its viewer last typed or clicked, through whichever controller, or since it was opened. */
  readonly idleMs: number;
}

/** The last session of a token. */
export interface EnteredSession extends StandingSession {
  /** What the token proves it with; undefined where the token was redeemed for a proof of its own. */
  readonly proof: string | undefined;
  /** What the token's URL began with. */
  readonly accessUrlBase: string | undefined;
}

const READ_ENTERED = `
  select ${sessionColumns("s")}, coalesce(s.expires_at <= now(), false) as expired, s.proof_hash as "proofHash",
    t.access_url_base as "accessUrlBase"
  from console_auth_tokens t join console_sessions s on s.session_id = t.session_id
  where t.token_hash = $1::text and t.expires > extract(epoch from now())`;

const READ_PROVEN = `
  select ${sessionColumns("s")}, coalesce(s.expires_at <= now(), false) as expired,
    (extract(epoch from now() - greatest(s.opened_at, s.last_input_at)) * 1000)::float8 as "idleMs"
  from console_sessions s where s.session_id = $1::text and s.proof_hash = $2::text`;

const READ = `
  select ${sessionColumns("s")}, ${channelsColumn("s", "$2::integer")}
  from console_sessions s
  where s.session_id = $1::text and ($3::text is null or (s.project_id = $3::text and $3::text <> ''))`;

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

// The slack lets every controller write what was typed until the last moment. One that cannot be heard may know more.
const BY_IDLENESS = `
  select session_id, 'IDLE' as reason from console_sessions s
  where ended_at is null
    and greatest(opened_at, last_input_at) <= now() - $7::integer * interval '1 s' - $8::integer * interval '1 ms'
    and not exists (
      select from session_channels c left join controllers k using (controller_id)
      where c.session_id = s.session_id and c.closed_at is null
        and (k.heartbeat_at > now() - $9::integer * interval '1 ms') is not true
    )
  order by session_id limit $6::integer for no key update of s skip locked`;

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
const END_IDLE = endStatement(BY_IDLENESS);

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
  async findProven(sessionId: string, proof: string): Promise<ProvenSession | undefined> {
    const values = [sessionId, hashProof(proof)];
    const query = { name: "sessions-proven", text: READ_PROVEN, values };
    const [row] = await this.#database.query<SessionRow & { expired: boolean; idleMs: number }>(query);
    return row && { session: sessionFromRow(row), expired: row.expired, idleMs: row.idleMs };
  }

  /** A session with its channels; with a project only one of that project's, and none of "". */
  async find(sessionId: string, projectId?: string): Promise<SessionWithChannels | undefined> {
    const values = [sessionId, MAX_CHANNELS_SHOWN, projectId ?? null];
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

  /** Ends a batch of sessions without input for too long. */
  endIdle(): Promise<readonly Session[]> {
    const values = [...BY_NOBODY, PURGE_BATCH, this.#times.idleS, IDLE_SLACK_MS, HEARTBEAT_SETTLES_MS];
    return readSessions(this.#database, { name: "sessions-end-idle", text: END_IDLE, values });
  }
}

/** Deletes a batch of sessions that ended a week ago, with their channels, and says how many. */
export async function purgeSessions(querier: Querier): Promise<number> {
  return (await querier.query({ text: PURGE, values: [SESSION_KEPT_DAYS, PURGE_BATCH] })).length;
}

async function readSessions(querier: Querier, query: Parameters<Querier["query"]>[0]): Promise<readonly Session[]> {
  return (await querier.query<SessionRow>(query)).map(sessionFromRow);
}
