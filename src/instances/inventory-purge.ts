// SPDX-License-Identifier: Apache-2.0

// What the inventory forgets with time, in batches. Rows that somebody is changing at the moment are left for the next
// round.

import type { Querier } from "../db/connection.js";
import {
  FORGET_CONTROLLER_MS,
  FORGET_GONE_CLAIM_MS,
  PURGE_BATCH,
  TOMBSTONE_DAYS,
  UNDEFINED_GRACE_MS,
} from "../lib/limits.js";
import { INSTANCES_CHANNEL } from "./announcements.js";

const UNDEFINED = `
  with purged as (
    delete from instances where instance_uuid in (
      select instance_uuid from instances
      where undefined_at <= now() - $1::integer * interval '1 ms' and not registered and deleted_at is null
      limit $2::integer for update skip locked
    ) returning instance_uuid
  ), revoked as (
    delete from console_auth_tokens t using purged p where t.instance_uuid = p.instance_uuid
  )
  select instance_uuid, pg_notify('${INSTANCES_CHANNEL}', instance_uuid::text) from purged`;

const TOMBSTONES = `
  delete from instances where instance_uuid in (
    select instance_uuid from instances where deleted_at <= now() - $1::integer * interval '1 day'
    limit $2::integer for update skip locked
  ) returning instance_uuid`;

const GONE_CLAIMS = `
  delete from domain_claims where (host, instance_uuid) in (
    select host, instance_uuid from domain_claims where gone and changed_at <= now() - $1::integer * interval '1 ms'
    limit $2::integer for update skip locked
  ) returning instance_uuid`;

const DEAD_CONTROLLERS = `
  delete from controllers where heartbeat_at <= now() - $1::integer * interval '1 ms' returning controller_id`;

/**
 * Removes unregistered instances that no host has claimed for 30 s, with their tokens, and tells the other controllers.
 * Returns their uuids.
 */
export async function purgeUndefined(querier: Querier): Promise<readonly string[]> {
  const values = [UNDEFINED_GRACE_MS, PURGE_BATCH];
  const rows = await querier.query<{ instance_uuid: string }>({ text: UNDEFINED, values });
  return rows.map((row) => row.instance_uuid);
}

/** Removes tombstones after a week, which other controllers have long forgotten; a domain that is still there can come back from then on. */
export async function purgeTombstones(querier: Querier): Promise<number> {
  return (await querier.query({ text: TOMBSTONES, values: [TOMBSTONE_DAYS, PURGE_BATCH] })).length;
}

/** Removes marks of gone domains once no report that is older can be under way. */
export async function purgeClaims(querier: Querier): Promise<number> {
  return (await querier.query({ text: GONE_CLAIMS, values: [FORGET_GONE_CLAIM_MS, PURGE_BATCH] })).length;
}

/** Removes controllers that ended without saying so, with their streams; they have long counted as dead. */
export async function purgeControllers(querier: Querier): Promise<number> {
  return (await querier.query({ text: DEAD_CONTROLLERS, values: [FORGET_CONTROLLER_MS] })).length;
}
