// SPDX-License-Identifier: Apache-2.0
import { sql } from "kysely";
import type { Kysely } from "kysely";

/**
 * The first schema: who is connected, what runs where, and who may open which console. docs/decisions/0002 says why the
 * rules live here and not in memory.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}

const STATEMENTS = [
  // One row. A program refuses a schema whose min_reader is above the version it was written for.
  `create table schema_compat (
     only_row boolean not null default true,
     version integer not null,
     min_reader integer not null,
     constraint schema_compat_pkey primary key (only_row),
     constraint schema_compat_only_row_check check (only_row)
   )`,
  `insert into schema_compat (version, min_reader) values (1, 1)`,

  // A run of a controller. It lives as long as its heartbeat is young by Postgres' clock.
  `create table controllers (
     controller_id text not null,
     advertise text,
     started_at timestamptz not null default now(),
     heartbeat_at timestamptz not null default now(),
     constraint controllers_pkey primary key (controller_id)
   )`,

  // A host whose agent has connected at least once. generation counts the agent's processes; snapshot_* number the
  // last snapshot that was applied.
  `create table hosts (
     host text not null,
     process_id text not null,
     generation bigint not null default 1,
     snapshot_generation bigint not null default 0,
     snapshot_sequence bigint not null default 0,
     agent_version text not null default '',
     libvirt_version text not null default '',
     hypervisor_version text not null default '',
     hypervisor_available boolean not null default false,
     hypervisor_detail text not null default '',
     spice boolean not null default false,
     vnc boolean not null default false,
     graphics_fd boolean not null default false,
     created_at timestamptz not null default now(),
     last_seen_at timestamptz not null default now(),
     constraint hosts_pkey primary key (host)
   )`,

  // The stream of a host's agent to one controller. A host is up while one of these belongs to a living controller.
  `create sequence agent_stream_ids`,
  `create table agent_streams (
     host text not null,
     controller_id text not null,
     stream_id bigint not null default nextval('agent_stream_ids'),
     generation bigint not null,
     connected_at timestamptz not null default now(),
     constraint agent_streams_pkey primary key (host, controller_id),
     constraint agent_streams_stream_id_key unique (stream_id),
     constraint agent_streams_host_fkey foreign key (host) references hosts (host) on delete cascade,
     constraint agent_streams_controller_id_fkey foreign key (controller_id) references controllers (controller_id)
       on delete cascade
   )`,
  `create index agent_streams_controller_id_idx on agent_streams (controller_id)`,

  // What callers know as an instance. host, power_state, displays and conflict_host are derived from domain_claims;
  // the other columns belong to the orchestrator once it has registered the instance. Without deleted_at a row lives.
  `create sequence instance_revisions`,
  `create table instances (
     instance_uuid uuid not null,
     name text not null default '',
     project_id text not null default '',
     user_id text not null default '',
     vm_state text not null default '',
     task_state text not null default '',
     registered boolean not null default false,
     host text,
     claimed boolean not null default false,
     power_state text,
     displays text[] not null default '{}',
     conflict_host text,
     revision bigint not null default nextval('instance_revisions'),
     created_at timestamptz not null default now(),
     updated_at timestamptz not null default now(),
     undefined_at timestamptz,
     deleted_at timestamptz,
     constraint instances_pkey primary key (instance_uuid),
     constraint instances_host_check check (host <> ''),
     constraint instances_claimed_check check (host is not null or not claimed),
     constraint instances_power_state_check check (power_state in
       ('running', 'paused', 'shut-off', 'saved', 'crashed', 'suspended', 'incoming', 'unknown'))
   )`,
  `create index instances_project_id_idx on instances (project_id, instance_uuid)`,
  `create index instances_host_idx on instances (host, instance_uuid)`,
  `create index instances_name_idx on instances (name, instance_uuid)`,
  `create index instances_conflict_idx on instances (host) where conflict_host is not null`,
  `create index instances_undefined_at_idx on instances (undefined_at) where undefined_at is not null`,
  `create index instances_deleted_at_idx on instances (deleted_at) where deleted_at is not null`,

  // What each host's agent last said of a domain, numbered by the report that said it. A row that is gone only keeps
  // a late report from bringing the domain back.
  `create table domain_claims (
     host text not null,
     instance_uuid uuid not null,
     generation bigint not null,
     sequence bigint not null,
     gone boolean not null default false,
     power_state text not null,
     displays text[] not null default '{}',
     domain_name text not null default '',
     owner_name text not null default '',
     owner_project_id text not null default '',
     owner_user_id text not null default '',
     changed_at timestamptz not null default now(),
     constraint domain_claims_pkey primary key (host, instance_uuid),
     constraint domain_claims_host_fkey foreign key (host) references hosts (host) on delete cascade,
     constraint domain_claims_power_state_check check (power_state in
       ('running', 'paused', 'shut-off', 'saved', 'crashed', 'suspended', 'incoming', 'unknown'))
   )`,
  `create index domain_claims_instance_uuid_idx on domain_claims (instance_uuid)`,
  `create index domain_claims_gone_idx on domain_claims (changed_at) where gone`,

  `create table instance_faults (
     fault_id bigint generated always as identity,
     instance_uuid uuid not null,
     occurred_at timestamptz not null default now(),
     reason text not null,
     message text not null,
     host text not null,
     request_id text not null,
     constraint instance_faults_pkey primary key (fault_id),
     constraint instance_faults_instance_uuid_fkey foreign key (instance_uuid) references instances (instance_uuid)
       on delete cascade
   )`,
  `create index instance_faults_instance_uuid_idx on instance_faults (instance_uuid, fault_id)`,

  // Column names and meanings are Nova's; port may be absent here, since a display need not listen on one. host is the
  // address that proxies dial, not the host's name. The plain token is nowhere.
  `create table console_auth_tokens (
     created_at timestamptz default now(),
     updated_at timestamptz,
     id bigint generated by default as identity,
     token_hash varchar(255) not null,
     console_type varchar(255) not null,
     host varchar(255) not null,
     port integer,
     tls_port integer,
     internal_access_path varchar(255),
     instance_uuid uuid not null,
     expires bigint not null,
     access_url_base varchar(255),
     created_by text not null default '',
     redeemed_at timestamptz,
     constraint console_auth_tokens_pkey primary key (id),
     constraint console_auth_tokens_token_hash_key unique (token_hash),
     constraint console_auth_tokens_port_check check (port between 1 and 65535),
     constraint console_auth_tokens_tls_port_check check (tls_port between 1 and 65535)
   )`,
  `create index console_auth_tokens_instance_uuid_idx on console_auth_tokens (instance_uuid)`,
  `create index console_auth_tokens_host_expires_idx on console_auth_tokens (host, expires)`,
  `create index console_auth_tokens_token_hash_instance_uuid_idx on console_auth_tokens (token_hash, instance_uuid)`,
  `create index console_auth_tokens_expires_idx on console_auth_tokens (expires)`,

  // Who did what. A row is written by the statement that does it, so neither exists without the other.
  `create table audit_events (
     event_id bigint generated always as identity,
     occurred_at timestamptz not null default now(),
     action text not null,
     reason text not null default '',
     subject text not null,
     project_id text not null,
     request_id text not null,
     client_address text not null,
     instance_uuid uuid,
     host text,
     console_type text,
     token_id bigint,
     token_count integer,
     constraint audit_events_pkey primary key (event_id),
     constraint audit_events_action_check check (action in
       ('issued', 'looked-up', 'revoked', 'redeemed', 'refused', 'ended'))
   )`,
  `create index audit_events_instance_uuid_idx on audit_events (instance_uuid, event_id)`,
];
