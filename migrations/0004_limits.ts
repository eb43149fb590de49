// SPDX-License-Identifier: Apache-2.0
import { sql } from "kysely";
import type { Kysely } from "kysely";

/**
 * What limits of sessions need. The release before this one goes on serving: it asks for none of this, so what it begins
 * is not limited, and counts all the same.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}

const STATEMENTS = [
  `create index console_sessions_open_of_instance_idx on console_sessions (instance_uuid, session_id)
     where ended_at is null`,
  `create index console_sessions_open_of_subject_idx on console_sessions (subject) where ended_at is null`,
  `create index console_sessions_open_active_idx on console_sessions (greatest(opened_at, last_input_at))
     where ended_at is null`,

  // Whether one more session of this instance, for this subject, may begin. refused_by names the limit that speaks
  // against it; where none does, displaced are the sessions that it has ended instead, with their audit rows. Those who
  // ask at the same instant wait for each other until the transaction's end, and since each statement of a volatile
  // function sees what has been committed until then, the second one counts the first one's session. Everybody takes
  // the locks in this order; their first number keeps them apart from all others. A limit of 0 is none and takes no
  // lock; most_per_instance says nothing where there is one session at most.
  `create function admit_session(
     of_instance uuid, of_subject text, most_per_instance integer, most_per_subject integer, second_viewer text,
     away_after interval, by_project text, by_request text, by_address text,
     out refused_by text, out displaced text[]
   ) language plpgsql volatile as $$
   declare
     alone constant boolean := second_viewer <> 'share';
   begin
     displaced := '{}';
     if alone or most_per_instance > 0 then
       perform pg_advisory_xact_lock(735104, hashtext(of_instance::text));
     end if;
     if most_per_subject > 0 then
       perform pg_advisory_xact_lock(735105, hashtext(of_subject));
     end if;
     refused_by := case
       when second_viewer = 'deny' and exists (
         select from console_sessions where instance_uuid = of_instance and ended_at is null
           and (open_channels > 0 or empty_since > clock_timestamp() - away_after)
       ) then 'second_viewer'
       when not alone and most_per_instance > 0 and (
         select count(*) from (
           select from console_sessions where instance_uuid = of_instance and ended_at is null limit most_per_instance
         ) open
       ) >= most_per_instance then 'max_per_instance'
       when most_per_subject > 0 and (
         select count(*) from (
           select from console_sessions where subject = of_subject and ended_at is null
             and not (alone and instance_uuid = of_instance) limit most_per_subject
         ) open
       ) >= most_per_subject then 'max_per_caller'
     end;
     if refused_by is not null or not alone then
       return;
     end if;
     with chosen as materialized (
       select session_id from console_sessions where instance_uuid = of_instance and ended_at is null
       order by session_id for no key update
     ), ended as (
       update console_sessions s
       set ended_at = clock_timestamp(), end_reason = 'TAKEN_OVER', ended_by = of_subject,
         changed_in = pg_current_xact_id()
       from chosen c where s.session_id = c.session_id and s.ended_at is null
       returning s.*
     ), noted as (
       insert into audit_events (action, reason, subject, project_id, request_id, client_address, instance_uuid, host,
         console_type, session_id)
       select 'ended', end_reason, of_subject, by_project, by_request, by_address, instance_uuid, host, console_type,
         session_id
       from ended
     )
     select coalesce(array_agg(session_id), '{}') into displaced from ended;
   end
   $$`,

  `update schema_compat set version = 4`,
];
