// SPDX-License-Identifier: Apache-2.0
import { sql } from "kysely";
import type { Kysely } from "kysely";

/**
 * Sessions and their channels, and what the audit says of them. The release before this one goes on serving: it knows
 * none of these tables and writes no other audit events than before.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}

const STATEMENTS = [
  // A console URL that was opened. open_channels counts the rows of session_channels that are open: whoever opens or
  // closes one locks this row, so the count is exact where a count of those rows would be a moment old. empty_since is
  // set while it is 0. changed_in is the transaction that last changed the row: a watcher reads what transactions wrote
  // that had not ended when it last looked. number grows with time; lists are ordered by it.
  `create table console_sessions (
     session_id text not null,
     number bigint generated always as identity,
     proof_hash text not null,
     token_id bigint not null,
     instance_uuid uuid not null,
     instance_name text not null,
     project_id text not null,
     host text not null,
     console_type text not null,
     subject text not null,
     client_address text not null,
     request_id text not null,
     opened_at timestamptz not null default now(),
     last_input_at timestamptz,
     expires_at timestamptz,
     open_channels integer not null default 0,
     empty_since timestamptz default now(),
     ended_at timestamptz,
     end_reason text,
     ended_by text not null default '',
     changed_in xid8 not null default pg_current_xact_id(),
     constraint console_sessions_pkey primary key (session_id),
     constraint console_sessions_number_key unique (number),
     constraint console_sessions_proof_hash_key unique (proof_hash),
     constraint console_sessions_open_channels_check check (open_channels >= 0),
     constraint console_sessions_empty_since_check check ((empty_since is null) = (open_channels > 0)),
     constraint console_sessions_ended_at_check check ((ended_at is null) = (end_reason is null)),
     constraint console_sessions_end_reason_check check (end_reason in ('TERMINATED', 'INSTANCE_STOPPED',
       'INSTANCE_CRASHED', 'INSTANCE_DELETED', 'SESSION_EXPIRED', 'IDLE', 'TAKEN_OVER', 'ABANDONED'))
   )`,
  `create index console_sessions_instance_uuid_idx on console_sessions (instance_uuid, number)`,
  `create index console_sessions_project_id_idx on console_sessions (project_id, number)`,
  `create index console_sessions_host_idx on console_sessions (host, number)`,
  `create index console_sessions_subject_idx on console_sessions (subject, number)`,
  `create index console_sessions_open_idx on console_sessions (number) where ended_at is null`,
  `create index console_sessions_changed_in_idx on console_sessions (changed_in)`,
  `create index console_sessions_expires_at_idx on console_sessions (expires_at)
     where ended_at is null and expires_at is not null`,
  `create index console_sessions_empty_since_idx on console_sessions (empty_since)
     where ended_at is null and empty_since is not null`,
  `create index console_sessions_ended_at_idx on console_sessions (ended_at) where ended_at is not null`,

  // One connection of a viewer. It is open as long as closed_at is null and its controller lives. channel_type and
  // channel_number are null until the viewer has said them.
  `create table session_channels (
     channel_id bigint generated always as identity,
     session_id text not null,
     controller_id text not null,
     channel_type integer,
     channel_number integer,
     client_address text not null,
     opened_at timestamptz not null default now(),
     closed_at timestamptz,
     close_reason text,
     bytes_to_machine bigint not null default 0,
     bytes_to_viewer bigint not null default 0,
     constraint session_channels_pkey primary key (channel_id),
     constraint session_channels_session_id_fkey foreign key (session_id) references console_sessions (session_id)
       on delete cascade,
     constraint session_channels_closed_at_check check ((closed_at is null) = (close_reason is null))
   )`,
  `create index session_channels_session_id_idx on session_channels (session_id, channel_id)`,
  `create index session_channels_open_idx on session_channels (controller_id) where closed_at is null`,

  `alter table audit_events add column session_id text, add column channel_id bigint`,
  `alter table audit_events drop constraint audit_events_action_check`,
  `alter table audit_events add constraint audit_events_action_check check (action in
     ('issued', 'looked-up', 'revoked', 'redeemed', 'refused', 'ended', 'channel-opened', 'channel-closed'))`,
  `create index audit_events_session_id_idx on audit_events (session_id, event_id) where session_id is not null`,
  `create index audit_events_subject_idx on audit_events (subject, event_id)`,
  `create index audit_events_occurred_at_idx on audit_events (occurred_at)`,

  `update schema_compat set version = 2`,
];
