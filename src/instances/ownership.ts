// SPDX-License-Identifier: Apache-2.0

// Who owns an instance. Each host's agent says what it has (domain_claims); this file alone turns what they say into
// the host of the instance, and it does so in Postgres, so that any number of controllers come to the same result.
//
// The best claim wins, in this order:
//   0  the owner's, active, its host up            an owner keeps what it runs
//   1  another's, active, its host up              the owner has stopped, lost or let go of it, or is down
//   2  the owner's, active, its host down          nobody else says otherwise
//   3  another's, active, its host down
//   4  the owner's, not active
//   5  another's, not active                       only where the owner has it no more
//   6  one that waits for an incoming migration    is no claim to the host, but the instance is not undefined
// A second active claim is a conflict: it is kept, shown and counted, and takes over as soon as the order says so. A
// host is up while its agent has a stream to a controller whose heartbeat is young. Agents' clocks play no part.

import { SYSTEM_ACTOR, actorParameters, actorValues, insertAudit } from "../audit/audit-log.js";
import type { Querier } from "../db/connection.js";
import { CONTROLLER_LEASE_MS } from "../lib/limits.js";
import type { Instance } from "./instance.js";
import { INSTANCE_COLUMN_LIST, instanceFromRow } from "./rows.js";
import type { InstanceRow } from "./rows.js";

/** Whether the owner that a domain's metadata names is believed. */
export interface OwnershipRules {
  readonly trustDomainMetadata: boolean;
}

// In order of the uuid, as everybody locks instances: two reports about the same instances cannot block each other.
const CREATE = `
  insert into instances (instance_uuid)
  select distinct instance_uuid from domain_claims where instance_uuid = any ($1::uuid[]) and not gone
  order by instance_uuid
  on conflict on constraint instances_pkey do nothing`;

// A statement of its own, so that the next one sees what was committed while this one waited: a token, above all.
const LOCK = `
  select instance_uuid from instances where instance_uuid = any ($1::uuid[]) order by instance_uuid for no key update`;

const SETTLE = `
  with claim as (
    select c.*, c.host is not distinct from i.host as is_owner, c.power_state in ('running', 'paused', 'suspended') as active,
      exists (
        select from agent_streams s join controllers k on k.controller_id = s.controller_id
        where s.host = c.host and k.heartbeat_at > now() - $3::integer * interval '1 ms'
      ) as up
    from domain_claims c join instances i on i.instance_uuid = c.instance_uuid
    where c.instance_uuid = any ($1::uuid[]) and not c.gone
  ), ranked as (
    select claim.*, case
        when power_state = 'incoming' then 6
        when active and up and is_owner then 0
        when active and up then 1
        when active and is_owner then 2
        when active then 3
        when is_owner then 4
        else 5
      end as rank
    from claim
  ), best as (
    select distinct on (instance_uuid) ranked.*, rank < 6 as owns
    from ranked order by instance_uuid, rank, changed_at desc, host
  ), rival as (
    select distinct on (r.instance_uuid) r.instance_uuid, r.host
    from ranked r join best b on b.instance_uuid = r.instance_uuid and b.owns and b.host <> r.host
    where r.active order by r.instance_uuid, r.changed_at desc, r.host
  ), wanted as (
    select i.instance_uuid, i.host as old_host,
      case when b.owns then b.host else i.host end as host,
      coalesce(b.owns, false) as claimed,
      case when b.owns then b.power_state end as power_state,
      case when b.owns then b.displays else '{}' end as displays,
      rival.host as conflict_host,
      case when i.registered or b.host is null then i.name
        when $2::boolean and b.owner_name <> '' then b.owner_name else b.domain_name end as name,
      case when i.registered or b.host is null then i.project_id
        when $2::boolean then b.owner_project_id else '' end as project_id,
      case when i.registered or b.host is null then i.user_id
        when $2::boolean then b.owner_user_id else '' end as user_id,
      case when b.host is null and not i.registered then coalesce(i.undefined_at, now()) end as undefined_at
    from instances i
      left join best b on b.instance_uuid = i.instance_uuid
      left join rival on rival.instance_uuid = i.instance_uuid
    where i.instance_uuid = any ($1::uuid[]) and i.deleted_at is null
  ), changed as (
    update instances i set host = w.host, claimed = w.claimed, power_state = w.power_state, displays = w.displays,
      conflict_host = w.conflict_host, name = w.name, project_id = w.project_id, user_id = w.user_id,
      undefined_at = w.undefined_at, revision = nextval('instance_revisions'), updated_at = now()
    from wanted w
    where i.instance_uuid = w.instance_uuid
      and (i.host, i.claimed, i.power_state, i.displays, i.conflict_host, i.name, i.project_id, i.user_id,
        i.undefined_at)
        is distinct from (w.host, w.claimed, w.power_state, w.displays, w.conflict_host, w.name, w.project_id,
        w.user_id, w.undefined_at)
    returning i.instance_uuid, w.old_host, i.host
  ), ${revokeMoved("changed", 4)}
  select count(*)::integer as count from changed`;

/**
 * Two `with` queries that delete the unredeemed tokens of instances which moved. `moves` has instance_uuid, old_host
 * and host; the actor's parameters begin at `actorAt`. The rows must have been locked by an earlier statement.
 */
export function revokeMoved(moves: string, actorAt: number): string {
  return `revoked as (
    delete from console_auth_tokens t using ${moves} m
    where t.instance_uuid = m.instance_uuid and m.old_host is distinct from m.host and m.old_host is not null
      and t.redeemed_at is null
    returning t.instance_uuid
  ), revocation_noted as (
    ${insertAudit(
      {
        action: "revoked",
        actor: actorParameters(actorAt),
        reason: "'moved'",
        instanceUuid: "instance_uuid",
        tokenCount: "count(*)",
      },
      "from revoked group by instance_uuid",
    )}
  )`;
}

/** For one instance the statement is kept prepared; for many a plan made for one would be the wrong one. */
function named(name: string, uuids: readonly string[]): { name?: string } {
  return uuids.length === 1 ? { name } : {};
}

/** Locks instances for the rest of the transaction. */
export async function lockInstances(querier: Querier, uuids: readonly string[]): Promise<void> {
  await querier.query({ ...named("instances-lock", uuids), text: LOCK, values: [uuids] });
}

/**
 * Brings instances in line with their claims, within the transaction that changed the claims; creates those that only
 * agents know. Tombstones stay as they are. Where the host changes, unredeemed tokens go in the same statement.
 */
export async function settle(querier: Querier, uuids: readonly string[], rules: OwnershipRules): Promise<void> {
  if (uuids.length === 0) return;
  await querier.query({ ...named("instances-create", uuids), text: CREATE, values: [uuids] });
  await lockInstances(querier, uuids);
  const values = [uuids, rules.trustDomainMetadata, CONTROLLER_LEASE_MS, ...actorValues(SYSTEM_ACTOR)];
  await querier.query({ ...named("instances-settle", uuids), text: SETTLE, values });
}

const READ = `select ${INSTANCE_COLUMN_LIST} from instances where instance_uuid = any ($1::uuid[])`;

/** The instances as they are now, tombstones included; unknown ones are missing. */
export async function readInstances(querier: Querier, uuids: readonly string[]): Promise<readonly Instance[]> {
  const rows = await querier.query<InstanceRow>({ ...named("instances-read", uuids), text: READ, values: [uuids] });
  return rows.map(instanceFromRow);
}
