// SPDX-License-Identifier: Apache-2.0
import type { Channel, ChannelEndReason, Session, SessionWithChannels } from "./session.js";

/** The columns of `console_sessions` that make a Session. */
const SESSION_COLUMNS = {
  sessionId: "session_id",
  instanceUuid: "instance_uuid",
  instanceName: "instance_name",
  projectId: "project_id",
  host: "host",
  consoleType: "console_type",
  subject: "subject",
  clientAddress: "client_address",
  openedAt: "opened_at",
  lastInputAt: "last_input_at",
  expiresAt: "expires_at",
  endedAt: "ended_at",
  endReason: "end_reason",
  endedBy: "ended_by",
  openChannels: "open_channels",
  viewOnly: "view_only",
} as const satisfies Record<keyof Session, string>;

/** A row of `console_sessions` as `sessionColumns` selects it. */
export type SessionRow = { readonly [Key in keyof Session]: Exclude<Session[Key], undefined> | null };

/** A select list for one session of the table, or of the `with` query, of that name. */
export function sessionColumns(table: string): string {
  const entries = Object.entries(SESSION_COLUMNS);
  return entries.map(([name, column]) => `${table}.${column} as "${name}"`).join(", ");
}

/** The session that a row holds. Check constraints vouch for its words. */
export function sessionFromRow(row: SessionRow): Session {
  const names = Object.keys(SESSION_COLUMNS) as (keyof Session)[];
  return Object.fromEntries(names.map((name) => [name, row[name] ?? undefined])) as unknown as Session;
}

/**
 * The channels of a session as one JSON column: the open ones and the last closed ones. Numbers go as text, since JSON's
 * are not exact.
 */
export function channelsColumn(table: string, mostParameter: string): string {
  return `(
    select coalesce(json_agg(json_build_object('channelId', c.channel_id::text, 'type', c.channel_type,
      'number', c.channel_number, 'controllerId', c.controller_id, 'clientAddress', c.client_address,
      'openedAt', c.opened_at, 'closedAt', c.closed_at, 'closeReason', c.close_reason,
      'bytesToMachine', c.bytes_to_machine::text, 'bytesToViewer', c.bytes_to_viewer::text) order by c.channel_id), '[]')
    from (
      select * from session_channels where session_channels.session_id = ${table}.session_id
      order by closed_at is null desc, channel_id desc limit ${mostParameter}
    ) c
  ) as channels`;
}

/** One element of `channelsColumn`. */
interface ChannelJson {
  readonly channelId: string;
  readonly type: number | null;
  readonly number: number | null;
  readonly controllerId: string;
  readonly clientAddress: string;
  readonly openedAt: string;
  readonly closedAt: string | null;
  readonly closeReason: string | null;
  readonly bytesToMachine: string;
  readonly bytesToViewer: string;
}

/** A row with `sessionColumns` and `channelsColumn`. */
export interface SessionWithChannelsRow extends SessionRow {
  readonly channels: readonly ChannelJson[];
}

/** The session with its channels that a row holds. */
export function sessionWithChannelsFromRow(row: SessionWithChannelsRow): SessionWithChannels {
  const session = sessionFromRow(row);
  return { ...session, channels: row.channels.map((channel) => channelFrom(channel, session.sessionId)) };
}

function channelFrom(json: ChannelJson, sessionId: string): Channel {
  return {
    sessionId,
    channelId: BigInt(json.channelId),
    type: json.type ?? undefined,
    number: json.number ?? undefined,
    controllerId: json.controllerId,
    clientAddress: json.clientAddress,
    openedAt: new Date(json.openedAt),
    closedAt: json.closedAt === null ? undefined : new Date(json.closedAt),
    closeReason: (json.closeReason ?? undefined) as ChannelEndReason | undefined,
    bytesToMachine: BigInt(json.bytesToMachine),
    bytesToViewer: BigInt(json.bytesToViewer),
  };
}
