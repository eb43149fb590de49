// SPDX-License-Identifier: Apache-2.0

// What controllers tell each other, by NOTIFY in the transaction that makes it true. Reports of agents are not told:
// every controller hears them itself, and transactions that notify commit one after the other.

import type { Querier } from "../db/connection.js";

/** Says the uuid of an instance that was changed, or removed, other than by a report. */
export const INSTANCES_CHANNEL = "spicegate_instances";
/** Says the id of a controller that came or went. */
export const CONTROLLERS_CHANNEL = "spicegate_controllers";

// now() is when the transaction began, and what it has changed carries that time.
const CHANGED = `
  select pg_notify('${INSTANCES_CHANNEL}', instance_uuid::text) from instances
  where instance_uuid = any ($1::uuid[]) and updated_at = now()`;

/** Tells the other controllers, at commit, which of these instances this transaction has changed. */
export async function announceChanged(querier: Querier, uuids: readonly string[]): Promise<void> {
  if (uuids.length > 0) await querier.query({ text: CHANGED, values: [uuids] });
}
