// SPDX-License-Identifier: Apache-2.0
// Instances as Nova shows servers: of its fields those that are known here, in one body for all versions.
import { createHash } from "node:crypto";
import type { Instance, PowerState } from "../instances/instance.js";

/** How the addresses in a view begin, and what the caller may see. */
export interface ServerViewOptions {
  /** "http://host:port". */
  readonly base: string;
  /** "/v2.1", and the project where the request's address has it. */
  readonly prefix: string;
  readonly admin: boolean;
}

/** A server with its id, name and links alone. */
export function serverSummary({ uuid, name }: Instance, { base, prefix }: ServerViewOptions): object {
  const links = [
    { rel: "self", href: `${base}${prefix}/servers/${uuid}` },
    { rel: "bookmark", href: `${base}/servers/${uuid}` },
  ];
  return { id: uuid, name, links };
}

/** A server with all that is known. */
export function serverDetail(instance: Instance, options: ServerViewOptions): object {
  const { projectId, userId, taskState, host = "", powerState } = instance;
  const vmState = vmStateOf(instance);
  return {
    ...serverSummary(instance, options),
    status: statusOf(vmState, taskState),
    tenant_id: projectId,
    user_id: userId,
    hostId: host === "" ? "" : createHash("sha224").update(`${projectId}${host}`).digest("hex"),
    created: timeOf(instance.createdAt),
    updated: timeOf(instance.updatedAt),
    "OS-EXT-STS:vm_state": vmState === "" ? null : vmState,
    "OS-EXT-STS:task_state": taskState === "" ? null : taskState,
    "OS-EXT-STS:power_state": POWER_STATES[powerState ?? "unknown"].nova,
    ...NOTHING_KNOWN,
    ...(options.admin ? { "OS-EXT-SRV-ATTR:host": host === "" ? null : host } : {}),
  };
}

/** What clients of Nova take for granted, and nobody has told us: empty, as Nova itself has it now and then. */
const NOTHING_KNOWN = { image: "", flavor: { id: "" }, addresses: {}, metadata: {} };

/** Nova's number of each state, and the vm_state that it means where no orchestrator says one. */
const POWER_STATES = {
  unknown: { nova: 0, vmState: "" },
  running: { nova: 1, vmState: "active" },
  paused: { nova: 3, vmState: "paused" },
  incoming: { nova: 3, vmState: "active" },
  "shut-off": { nova: 4, vmState: "stopped" },
  saved: { nova: 4, vmState: "suspended" },
  crashed: { nova: 6, vmState: "stopped" },
  suspended: { nova: 7, vmState: "active" },
} as const satisfies Record<PowerState, { readonly nova: number; readonly vmState: string }>;

function vmStateOf({ vmState, powerState = "unknown" }: Instance): string {
  return vmState === "" ? POWER_STATES[powerState].vmState : vmState;
}

/** Nova's status of each vm_state (nova/api/openstack/common.py). */
const STATUSES: Readonly<Record<string, string>> = {
  active: "ACTIVE",
  building: "BUILD",
  stopped: "SHUTOFF",
  resized: "VERIFY_RESIZE",
  paused: "PAUSED",
  suspended: "SUSPENDED",
  rescued: "RESCUE",
  error: "ERROR",
  deleted: "DELETED",
  "soft-delete": "SOFT_DELETED",
  shelved: "SHELVED",
  shelved_offloaded: "SHELVED_OFFLOADED",
};

const REBUILDING = ["rebuilding", "rebuild_block_device_mapping", "rebuild_spawning"];
const RESIZING = ["resize_prep", "resize_migrating", "resize_migrated", "resize_finish"];
const all = (taskStates: readonly string[], status: string): Record<string, string> =>
  Object.fromEntries(taskStates.map((taskState) => [taskState, status]));

/** What a task under way makes of the status, by vm_state. */
const BUSY: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  active: {
    ...all(["rebooting", "reboot_pending", "reboot_started"], "REBOOT"),
    ...all(["rebooting_hard", "reboot_pending_hard", "reboot_started_hard"], "HARD_REBOOT"),
    ...all(REBUILDING, "REBUILD"),
    ...all(RESIZING, "RESIZE"),
    updating_password: "PASSWORD",
    migrating: "MIGRATING",
  },
  stopped: { ...all(REBUILDING, "REBUILD"), ...all(RESIZING, "RESIZE") },
  resized: { resize_reverting: "REVERT_RESIZE" },
  paused: { migrating: "MIGRATING" },
  error: all(REBUILDING, "REBUILD"),
};

function statusOf(vmState: string, taskState: string): string {
  const busy = Object.hasOwn(BUSY, vmState) ? BUSY[vmState] : undefined;
  if (busy && Object.hasOwn(busy, taskState)) return busy[taskState] ?? "UNKNOWN";
  return Object.hasOwn(STATUSES, vmState) ? (STATUSES[vmState] ?? "UNKNOWN") : "UNKNOWN";
}

function timeOf(date: Date): string {
  return date.toISOString().replace(/\.\d+Z$/, "Z");
}
