// SPDX-License-Identifier: Apache-2.0

// Channels as Postgres has them. Whoever opens or closes one locks its session first, sessions in order of their ids, so
// that the number of open channels is exact and no two statements block each other.

import { logAudit } from "../audit/audit-line.js";
import { insertAudit } from "../audit/audit-log.js";
import type { Querier } from "../db/connection.js";
import { CHANNEL_SETTLES_MS, CONTROLLER_LEASE_MS, PURGE_BATCH } from "../lib/limits.js";
import type { Log } from "../lib/log.js";
import type { ChannelEndReason, Session, SessionEndReason } from "./session.js";
import { hashProof } from "./session-proof.js";
import { sessionColumns, sessionFromRow } from "./session-rows.js";
import type { SessionRow } from "./session-rows.js";

/** A viewer that wants in. */
export interface ChannelRequest {
  readonly sessionId: string;
  readonly proof: string;
  readonly requestId: string;
  readonly clientAddress: string;
}

/** A channel that was let in. */
export interface OpenedChannel {
  readonly channelId: bigint;
  readonly session: Session;
  /** The host the instance is on now; undefined where it is on none. */
  readonly currentHost: string | undefined;
  /** Whether the session has an open main channel on any controller. */
  readonly hasMain: boolean;
  /** Milliseconds until the session expires, by Postgres' clock; undefined where it does not. */
  readonly remainingMs: number | undefined;
}

/** What is known of a channel that passes bytes. */
export interface ChannelCounts {
  readonly channelId: bigint;
  readonly sessionId: string;
  /** The SPICE channel type and its number, once the viewer has said them. */
  readonly type: number | undefined;
  readonly number: number | undefined;
  readonly bytesToMachine: number;
  readonly bytesToViewer: number;
  /** Milliseconds since something was last typed or clicked; undefined if never. */
  readonly idleMs: number | undefined;
}

/** The last of a channel. */
export interface ChannelClose extends ChannelCounts {
  readonly reason: ChannelEndReason;
}

/** A channel that a statement has closed. */
export interface ClosedChannel {
  readonly channelId: bigint;
  readonly sessionId: string;
  readonly instanceUuid: string;
  readonly reason: ChannelEndReason;
}

/** A session that has ended. */
export interface Ending {
  readonly sessionId: string;
  readonly reason: SessionEndReason;
}

const OPEN = `
  with session as (
    update console_sessions
    set open_channels = open_channels + 1, empty_since = null, changed_in = pg_current_xact_id()
    where session_id = $1::text and proof_hash = $2::text and ended_at is null
      and (expires_at is null or expires_at > now()) and open_channels < $3::integer
    returning *
  ), channel as (
    insert into session_channels (session_id, controller_id, client_address)
    select session_id, $4::text, $5::text from session
    returning channel_id
  ), noted as (
    ${insertAudit(
      {
        action: "channel-opened",
        actor: ["subject", "project_id", "$6::text", "$5::text"],
        instanceUuid: "instance_uuid",
        host: "host",
        consoleType: "console_type",
        sessionId: "session_id",
        channelId: "channel_id",
      },
      "from session cross join channel",
    )}
  )
  select ${sessionColumns("session")}, channel.channel_id as "channelId", i.host as "currentHost",
    exists (
      select from session_channels m where m.session_id = $1::text and m.channel_type = 1 and m.closed_at is null
    ) as "hasMain",
    (extract(epoch from session.expires_at - now()) * 1000)::float8 as "remainingMs"
  from session cross join channel
    left join instances i on i.instance_uuid = session.instance_uuid and i.deleted_at is null`;

/** What a statement is told of each channel: the values of `countValues`. */
const ASKED = `
  select * from unnest($1::bigint[], $2::text[], $3::integer[], $4::integer[], $5::bigint[], $6::bigint[], $7::float8[],
    $8::text[]) as a (channel_id, session_id, type, number, to_machine, to_viewer, idle_ms, reason)`;

const LOCKED = `
  select session_id from console_sessions where session_id = any ($2::text[]) order by session_id for no key update`;

const SET_COUNTS = `channel_type = coalesce(a.type, c.channel_type), channel_number = coalesce(a.number, c.channel_number),
      bytes_to_machine = coalesce(a.to_machine, c.bytes_to_machine),
      bytes_to_viewer = coalesce(a.to_viewer, c.bytes_to_viewer)`;

const SET_LAST_INPUT = `last_input_at = greatest(s.last_input_at, now() - own.idle_ms * interval '1 ms')`;

const CLOSE = `
  with asked as (${ASKED}
  ), locked as materialized (${LOCKED}
  ), closed as (
    update session_channels c set closed_at = now(), close_reason = a.reason, ${SET_COUNTS}
    from asked a join locked l on l.session_id = a.session_id
    where c.channel_id = a.channel_id and c.closed_at is null
    returning c.channel_id, c.session_id, c.client_address as from_address, c.close_reason, a.idle_ms
  ), changed as (
    update console_sessions s set open_channels = s.open_channels - own.closed,
      empty_since = case when s.open_channels = own.closed then now() end, ${SET_LAST_INPUT},
      changed_in = case when s.ended_at is null then pg_current_xact_id() else s.changed_in end
    from (
      select session_id, count(*)::integer as closed, min(idle_ms) as idle_ms from closed group by session_id
    ) own
    where s.session_id = own.session_id
  ), noted as (
    ${insertAudit(
      {
        action: "channel-closed",
        actor: ["subject", "project_id", "request_id", "from_address"],
        reason: "close_reason",
        instanceUuid: "instance_uuid",
        host: "host",
        consoleType: "console_type",
        sessionId: "session_id",
        channelId: "channel_id",
      },
      "from closed join console_sessions using (session_id)",
    )}
  )
  select channel_id as "channelId", session_id as "sessionId", instance_uuid as "instanceUuid", close_reason as "reason"
  from closed join console_sessions using (session_id)`;

// What passes while a session ends is still written down; the session itself does not change any more. It is changed
// after it was locked only because each step asks for what the one before returns.
const COUNT = `
  with asked as (${ASKED}
  ), locked as materialized (${LOCKED}
  ), counted as (
    update session_channels c set ${SET_COUNTS}
    from asked a join locked l on l.session_id = a.session_id
    where c.channel_id = a.channel_id and c.closed_at is null
    returning c.session_id, a.idle_ms
  ), changed as (
    update console_sessions s set ${SET_LAST_INPUT}, changed_in = pg_current_xact_id()
    from (select session_id, min(idle_ms) as idle_ms from counted group by session_id) own
    where s.session_id = own.session_id and s.ended_at is null
  )
  select session_id as "sessionId", end_reason as "reason" from console_sessions
  where session_id = any ($9::text[]) and ended_at is not null`;

// The same without anything to count, which is the usual case and takes no lock.
const ENDED = `
  select session_id as "sessionId", end_reason as "reason" from console_sessions
  where session_id = any ($1::text[]) and ended_at is not null`;

const REOPEN = `
  with locked as materialized (
    select session_id from console_sessions
    where session_id = any ($2::text[]) and ended_at is null order by session_id for no key update
  ), reopened as (
    update session_channels c set closed_at = null, close_reason = null
    from locked l where c.session_id = l.session_id and c.channel_id = any ($1::bigint[])
      and c.close_reason = 'CONTROLLER_GONE'
    returning c.session_id
  )
  update console_sessions s set open_channels = s.open_channels + more.count, empty_since = null,
    changed_in = pg_current_xact_id()
  from (select session_id, count(*)::integer as count from reopened group by session_id) more
  where s.session_id = more.session_id`;

// What a young row says may not have been heard yet by whoever opened it.
const LOST = `
  select channel_id as "channelId", session_id as "sessionId" from session_channels
  where controller_id = $1::text and closed_at is null and channel_id <> all ($2::bigint[])
    and opened_at < now() - $3::integer * interval '1 ms'`;

const FORSAKEN = `
  select channel_id as "channelId", session_id as "sessionId" from session_channels c
  where closed_at is null and opened_at < now() - $1::integer * interval '1 ms'
    and not exists (
      select from controllers k
      where k.controller_id = c.controller_id and k.heartbeat_at > now() - $1::integer * interval '1 ms'
    )
  limit $2::integer`;

interface OpenedRow extends SessionRow {
  readonly channelId: bigint;
  readonly currentHost: string | null;
  readonly hasMain: boolean;
  readonly remainingMs: number | null;
}

/** What names a channel. */
export type ChannelName = Pick<ChannelCounts, "channelId" | "sessionId">;

/** What a channel store needs. */
export interface ChannelStoreOptions {
  readonly database: Querier;
  /** For letting viewers in, if not the same: any stranger can have that asked. */
  readonly entrance?: Querier;
  readonly controllerId: string;
  /** Channels that one session may have open. */
  readonly maxChannels: number;
}

/** The channels of one controller, and those that others left behind. */
export class ChannelStore {
  readonly #options: ChannelStoreOptions;

  constructor(options: ChannelStoreOptions) {
    this.#options = options;
  }

  /** Lets a viewer in. Undefined where proof, end, expiry or the number of channels forbids it. */
  async open({ sessionId, proof, requestId, clientAddress }: ChannelRequest): Promise<OpenedChannel | undefined> {
    const { database, entrance = database, controllerId, maxChannels } = this.#options;
    const values = [sessionId, hashProof(proof), maxChannels, controllerId, clientAddress, requestId];
    const [row] = await entrance.query<OpenedRow>({ name: "channels-open", text: OPEN, values });
    if (!row) return undefined;
    const { channelId, currentHost, hasMain, remainingMs } = row;
    return {
      channelId,
      hasMain,
      session: sessionFromRow(row),
      currentHost: currentHost ?? undefined,
      remainingMs: remainingMs ?? undefined,
    };
  }

  /** Closes channels; returns those that were open until now. */
  close(closes: readonly ChannelClose[]): Promise<readonly ClosedChannel[]> {
    return closeChannels(this.#options.database, closes);
  }

  /** Writes the counts of open channels and says which of the sessions have ended, by anybody. */
  sync(counts: readonly ChannelCounts[], sessionIds: readonly string[]): Promise<readonly Ending[]> {
    const { database } = this.#options;
    if (counts.length === 0) {
      return database.query<Ending>({ name: "channels-ended", text: ENDED, values: [sessionIds] });
    }
    const values = [...countValues(counts), counts.map(() => null), sessionIds];
    return database.query<Ending>({ name: "channels-count", text: COUNT, values });
  }

  /** Takes back what others did to channels of this controller while they could not hear it: they are open. */
  async reopen(living: readonly ChannelName[]): Promise<void> {
    const values = [living.map(({ channelId }) => channelId), living.map(({ sessionId }) => sessionId)];
    await this.#options.database.query({ text: REOPEN, values });
  }

  /** Closes channels of this controller that it does not have: their opening was never heard of. */
  async closeLost(living: readonly bigint[]): Promise<readonly ClosedChannel[]> {
    const { database, controllerId } = this.#options;
    const values = [controllerId, living, CHANNEL_SETTLES_MS];
    return closeNamed(database, await database.query<ChannelName>({ text: LOST, values }), "VIEWER_LEFT");
  }

  /** Closes a batch of channels whose controller has gone without a word. */
  async closeForsaken(querier: Querier): Promise<readonly ClosedChannel[]> {
    const names = await querier.query<ChannelName>({ text: FORSAKEN, values: [CONTROLLER_LEASE_MS, PURGE_BATCH] });
    return closeNamed(querier, names, "CONTROLLER_GONE");
  }
}

/** The line that each closed channel leaves in the log. */
export function logClosedChannels(log: Log, closed: readonly ClosedChannel[]): void {
  for (const { channelId, sessionId, instanceUuid, reason } of closed) {
    const line = { reason, instance: instanceUuid, session: sessionId, channel: String(channelId) };
    logAudit(log, "channel-closed", line);
  }
}

async function closeChannels(querier: Querier, closes: readonly ChannelClose[]): Promise<readonly ClosedChannel[]> {
  const values = [...countValues(closes), closes.map(({ reason }) => reason)];
  return querier.query<ClosedChannel>({ name: "channels-close", text: CLOSE, values });
}

/** Closes channels of which nothing else is known. */
async function closeNamed(
  querier: Querier,
  names: readonly ChannelName[],
  reason: ChannelEndReason,
): Promise<readonly ClosedChannel[]> {
  if (names.length === 0) return [];
  const column = (value: unknown): unknown[] => names.map(() => value);
  const ids = [names.map(({ channelId }) => channelId), names.map(({ sessionId }) => sessionId)];
  const values = [...ids, column(null), column(null), column(null), column(null), column(null), column(reason)];
  return querier.query<ClosedChannel>({ name: "channels-close", text: CLOSE, values });
}

function countValues(counts: readonly ChannelCounts[]): readonly (readonly unknown[])[] {
  const column = (name: keyof ChannelCounts): unknown[] => counts.map((count) => count[name] ?? null);
  return [
    column("channelId"),
    column("sessionId"),
    column("type"),
    column("number"),
    column("bytesToMachine"),
    column("bytesToViewer"),
    column("idleMs"),
  ];
}
