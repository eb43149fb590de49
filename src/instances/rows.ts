// SPDX-License-Identifier: Apache-2.0
import type { DisplayKind, Instance, PowerState } from "./instance.js";

/** A row of `instances` as INSTANCE_COLUMNS selects it. */
export interface InstanceRow {
  readonly instance_uuid: string;
  readonly name: string;
  readonly project_id: string;
  readonly user_id: string;
  readonly vm_state: string;
  readonly task_state: string;
  readonly registered: boolean;
  readonly host: string | null;
  readonly claimed: boolean;
  readonly power_state: string | null;
  readonly displays: readonly string[];
  readonly conflict_host: string | null;
  readonly revision: bigint;
  readonly created_at: Date;
  readonly updated_at: Date;
  readonly deleted_at: Date | null;
}

/** The columns that make an Instance. */
export const INSTANCE_COLUMNS = [
  "instance_uuid",
  "name",
  "project_id",
  "user_id",
  "vm_state",
  "task_state",
  "registered",
  "host",
  "claimed",
  "power_state",
  "displays",
  "conflict_host",
  "revision",
  "created_at",
  "updated_at",
  "deleted_at",
] as const satisfies readonly (keyof InstanceRow)[];

/** The same for statements that are written out. */
export const INSTANCE_COLUMN_LIST = INSTANCE_COLUMNS.join(", ");

/** The instance that a row holds. Check constraints vouch for its words. */
export function instanceFromRow(row: InstanceRow): Instance {
  return {
    uuid: row.instance_uuid,
    name: row.name,
    projectId: row.project_id,
    userId: row.user_id,
    vmState: row.vm_state,
    taskState: row.task_state,
    registered: row.registered,
    host: row.host ?? undefined,
    claimed: row.claimed,
    powerState: (row.power_state ?? undefined) as PowerState | undefined,
    displays: row.displays as readonly DisplayKind[],
    conflictHost: row.conflict_host ?? undefined,
    revision: row.revision,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    deleted: row.deleted_at !== null,
  };
}
