// SPDX-License-Identifier: Apache-2.0
import type { Generated } from "kysely";

// The tables as migrations/ leaves them. bigint columns arrive as bigint, timestamptz as Date.

/** Table `hosts`: a host whose agent has connected at least once. */
export interface HostsTable {
  host: string;
  process_id: string;
  generation: Generated<bigint>;
  snapshot_generation: Generated<bigint>;
  snapshot_sequence: Generated<bigint>;
  agent_version: Generated<string>;
  libvirt_version: Generated<string>;
  hypervisor_version: Generated<string>;
  hypervisor_available: Generated<boolean>;
  hypervisor_detail: Generated<string>;
  spice: Generated<boolean>;
  vnc: Generated<boolean>;
  graphics_fd: Generated<boolean>;
  created_at: Generated<Date>;
  last_seen_at: Generated<Date>;
}

/** Table `instances`: what callers know; its derived columns come from `domain_claims`. */
export interface InstancesTable {
  instance_uuid: string;
  name: Generated<string>;
  project_id: Generated<string>;
  user_id: Generated<string>;
  vm_state: Generated<string>;
  task_state: Generated<string>;
  registered: Generated<boolean>;
  host: string | null;
  claimed: Generated<boolean>;
  power_state: string | null;
  displays: Generated<string[]>;
  conflict_host: string | null;
  revision: Generated<bigint>;
  created_at: Generated<Date>;
  updated_at: Generated<Date>;
  undefined_at: Date | null;
  deleted_at: Date | null;
}

/** The tables that are queried through kysely; hot statements are written out and prepared by name. */
export interface Tables {
  hosts: HostsTable;
  instances: InstancesTable;
}
