// SPDX-License-Identifier: Apache-2.0
import type { Querier } from "../db/connection.js";
import { MAX_CHANNELS_SHOWN } from "../lib/limits.js";
import type { SessionWithChannels } from "./session.js";
import { channelsColumn, sessionColumns, sessionWithChannelsFromRow } from "./session-rows.js";
import type { SessionWithChannelsRow } from "./session-rows.js";

/** Which sessions a watcher sees; an absent filter matches everything. */
export interface WatchFilter {
  readonly instanceUuid?: string | undefined;
  /** The empty text matches nothing: what belongs to no project is not for everybody without one. */
  readonly projectId?: string | undefined;
}

/** A session as a watch reads it. */
export interface WatchedSession {
  readonly session: SessionWithChannels;
  /** Names the transaction that last changed it. */
  readonly changedIn: string;
}

/** What has changed since a horizon. */
export interface SessionChanges {
  /** Where to go on: everything older had been read. */
  readonly horizon: string;
  readonly sessions: readonly WatchedSession[];
}

type WatchedRow = SessionWithChannelsRow & { readonly changedIn: string };

const COLUMNS = `${sessionColumns("s")}, ${channelsColumn("s", "$1::integer")}, s.changed_in::text as "changedIn"`;

const HORIZON = `select pg_snapshot_xmin(pg_current_snapshot())::text as horizon`;

// Transactions that had not ended when somebody last looked may have written with numbers that had passed already: what
// they wrote is not older than the horizon of that look.
const CHANGED = `
  with now_seen as materialized (${HORIZON})
  select now_seen.horizon, s.* from now_seen left join lateral (
    select ${COLUMNS} from console_sessions s where s.changed_in >= $2::text::xid8
    order by s.number limit $3::integer
  ) s on true`;

const OPEN = `
  select ${COLUMNS} from console_sessions s
  where s.ended_at is null and ($2::uuid is null or s.instance_uuid = $2::uuid)
    and ($3::text is null or (s.project_id = $3::text and $3::text <> ''))
  order by s.number limit $4::integer`;

/** Reads sessions for watchers. */
export class WatchStore {
  readonly #database: Querier;

  constructor(database: Querier) {
    this.#database = database;
  }

  /** Where a watch that begins now begins. */
  async horizon(): Promise<string> {
    const [row] = await this.#database.query<{ horizon: string }>({ name: "watch-horizon", text: HORIZON });
    return row?.horizon ?? "0";
  }

  /** Up to so many of the sessions that changed since a horizon, at most one time each; some of them twice in a row. */
  async changedSince(horizon: string, limit: number): Promise<SessionChanges> {
    const values = [MAX_CHANNELS_SHOWN, horizon, limit];
    const query = { name: "watch-changed", text: CHANGED, values };
    const rows = await this.#database.query<{ horizon: string } & (WatchedRow | { sessionId: null })>(query);
    const sessions = rows.filter((row): row is { horizon: string } & WatchedRow => row.sessionId !== null);
    return { horizon: rows[0]?.horizon ?? horizon, sessions: sessions.map(watchedFromRow) };
  }

  /** Up to so many of the open sessions, oldest first. */
  async open({ instanceUuid, projectId }: WatchFilter, limit: number): Promise<readonly WatchedSession[]> {
    const values = [MAX_CHANNELS_SHOWN, instanceUuid ?? null, projectId ?? null, limit];
    return (await this.#database.query<WatchedRow>({ text: OPEN, values })).map(watchedFromRow);
  }
}

function watchedFromRow(row: WatchedRow): WatchedSession {
  return { session: sessionWithChannelsFromRow(row), changedIn: row.changedIn };
}
