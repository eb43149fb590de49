// SPDX-License-Identifier: Apache-2.0
import { sql } from "kysely";
import type { Kysely } from "kysely";

/**
 * What moving over from Nova needs. The release before this one goes on serving: it leaves the new column empty, and a
 * token that it redeemed counts as used; and it writes no other audit events than before.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}

const STATEMENTS = [
  // The session that the token opened last. Where tokens can be used again it is what two that come at the same instant
  // compare: one of them changes it and begins the session, the other one finds that session here.
  `alter table console_auth_tokens add column session_id text`,
  // A token that only the legacy store knew was adopted: the row of console_auth_tokens is made from it.
  `alter table audit_events drop constraint audit_events_action_check`,
  `alter table audit_events add constraint audit_events_action_check check (action in ('issued', 'looked-up', 'revoked',
     'redeemed', 'refused', 'ended', 'channel-opened', 'channel-closed', 'adopted'))`,

  `update schema_compat set version = 3`,
];
