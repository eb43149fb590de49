// SPDX-License-Identifier: Apache-2.0
import { sql } from "kysely";
import type { Kysely } from "kysely";

/**
 * Who may call, which hosts may join, and consoles that may only be looked at. The release before this one goes on
 * serving: it knows no tokens and no certificates, and what it issues may be used in full.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}

const STATEMENTS = [
  // Bearer tokens of our own. Only their hash is here; a row goes when it has expired.
  `create table user_tokens (
     token_id text not null,
     token_hash bytea not null,
     subject text not null,
     project_id text not null default '',
     roles text[] not null,
     created_by text not null,
     created_at timestamptz not null default now(),
     expires_at timestamptz not null,
     revoked_at timestamptz,
     constraint user_tokens_pkey primary key (token_id),
     constraint user_tokens_token_hash_key unique (token_hash),
     constraint user_tokens_roles_check check (
       cardinality(roles) > 0 and roles <@ array['admin', 'member', 'reader', 'auditor', 'service']
     )
   )`,
  `create index user_tokens_subject_idx on user_tokens (subject, created_at)`,
  `create index user_tokens_expires_at_idx on user_tokens (expires_at)`,

  // What turns into a host's first certificate, once.
  `create table join_tokens (
     token_hash bytea not null,
     host text not null,
     created_by text not null,
     created_at timestamptz not null default now(),
     expires_at timestamptz not null,
     used_at timestamptz,
     constraint join_tokens_pkey primary key (token_hash)
   )`,
  `create index join_tokens_host_idx on join_tokens (host)`,
  `create index join_tokens_expires_at_idx on join_tokens (expires_at)`,

  // The certificates that were given out, until they expire; serial numbers in hex. admitted_at is when the join token
  // was made that the certificate goes back to, over however many renewals.
  `create table host_certificates (
     serial text not null,
     host text not null,
     admitted_at timestamptz not null,
     issued_at timestamptz not null default now(),
     expires_at timestamptz not null,
     constraint host_certificates_pkey primary key (serial)
   )`,
  `create index host_certificates_host_idx on host_certificates (host, issued_at)`,
  `create index host_certificates_expires_at_idx on host_certificates (expires_at)`,

  // A revoked host. Of its certificates only those count that go back to a join token made later (admitted_at >
  // revoked_at), however statements that run at the same instant interleave. readmitted_at is when such a token was used.
  `create table host_revocations (
     host text not null,
     revoked_at timestamptz not null default clock_timestamp(),
     revoked_by text not null,
     readmitted_at timestamptz,
     constraint host_revocations_pkey primary key (host)
   )`,

  // What is done about identities is audited too.
  `alter table audit_events drop constraint audit_events_action_check`,
  `alter table audit_events add constraint audit_events_action_check check (action in ('issued', 'looked-up', 'revoked',
     'redeemed', 'refused', 'ended', 'channel-opened', 'channel-closed', 'adopted', 'join-token-created', 'host-enrolled',
     'host-renewed', 'host-revoked', 'user-token-created', 'user-tokens-revoked'))`,

  // A console that may be looked at and not touched.
  `alter table console_auth_tokens add column view_only boolean not null default false`,
  `alter table console_sessions add column view_only boolean not null default false`,

  // Whose tokens were made or revoked.
  `alter table audit_events add column target_subject text`,

  `update schema_compat set version = 5`,
];
