// SPDX-License-Identifier: Apache-2.0
// Between the inventory protocol's words and ours.
import type {
  Host as HostMessage,
  Instance as InstanceMessage,
  InstanceFault as FaultMessage,
  ListInstancesRequest,
  UpdateInstanceRequest,
  WatchInstancesResponse,
} from "../../proto/gen/spicegate/inventory/v1/inventory.js";
import {
  DisplayKind as DisplayMessage,
  PowerState as PowerMessage,
} from "../../proto/gen/spicegate/inventory/v1/inventory.js";
import type { Host } from "../instances/host.js";
import type {
  DisplayKind,
  Instance,
  InstanceChanges,
  InstanceFilters,
  InstanceRegistration,
  PowerState,
  RecordedFault,
} from "../instances/instance.js";
import type { InstanceStep } from "../instances/instance-watches.js";
import { MAX_HOST_LENGTH, MAX_NAME_LENGTH } from "../lib/limits.js";
import { invalid, parseText, parseUuid } from "../lib/validate.js";

const POWER_STATES = {
  running: PowerMessage.POWER_STATE_RUNNING,
  paused: PowerMessage.POWER_STATE_PAUSED,
  "shut-off": PowerMessage.POWER_STATE_SHUT_OFF,
  saved: PowerMessage.POWER_STATE_SAVED,
  crashed: PowerMessage.POWER_STATE_CRASHED,
  suspended: PowerMessage.POWER_STATE_SUSPENDED,
  incoming: PowerMessage.POWER_STATE_INCOMING,
  unknown: PowerMessage.POWER_STATE_UNSPECIFIED,
} as const satisfies Record<PowerState, PowerMessage>;

const DISPLAYS = {
  spice: DisplayMessage.DISPLAY_KIND_SPICE,
  vnc: DisplayMessage.DISPLAY_KIND_VNC,
  unknown: DisplayMessage.DISPLAY_KIND_UNSPECIFIED,
} as const satisfies Record<DisplayKind, DisplayMessage>;

/** The fields that an update mask may name, by their names in the protocol. */
const UPDATABLE = {
  name: "name",
  project_id: "projectId",
  user_id: "userId",
  host: "host",
  vm_state: "vmState",
  task_state: "taskState",
} as const satisfies Record<string, keyof InstanceChanges>;

/** The orchestrator's half of an instance. Throws INVALID_ARGUMENT. */
export function registrationFrom(instance: InstanceMessage | undefined): InstanceRegistration {
  if (!instance) throw invalid("instance", "must be present");
  const short = (value: string, field: string): string => parseText(value, { field, most: MAX_NAME_LENGTH });
  return {
    uuid: parseUuid(instance.instanceUuid, "instance.instance_uuid"),
    name: parseText(instance.name, { field: "instance.name", most: MAX_NAME_LENGTH, free: true }),
    projectId: short(instance.projectId, "instance.project_id"),
    userId: short(instance.userId, "instance.user_id"),
    host: parseText(instance.host, { field: "instance.host", most: MAX_HOST_LENGTH }),
    vmState: short(instance.vmState, "instance.vm_state"),
    taskState: short(instance.taskState, "instance.task_state"),
  };
}

/** Which instance to change, and the masked fields. Throws INVALID_ARGUMENT. */
export function changesFrom({ instance, updateMask }: UpdateInstanceRequest): {
  uuid: string;
  changes: InstanceChanges;
} {
  const { uuid, ...fields } = registrationFrom(instance);
  if (!updateMask || updateMask.length === 0) throw invalid("update_mask", "must name at least one field");
  const changes = updateMask.map((path) => {
    const known = Object.keys(UPDATABLE).join(", ");
    if (!isUpdatable(path)) throw invalid("update_mask", `must name only ${known}`);
    return [UPDATABLE[path], fields[UPDATABLE[path]]] as const;
  });
  return { uuid, changes: Object.fromEntries(changes) };
}

/** What lists and watches are asked for. */
type InstanceQuery = Pick<ListInstancesRequest, "projectId" | "host" | "name" | "powerState">;

/** The filters of a list or a watch. Throws INVALID_ARGUMENT. */
export function filtersFrom(request: InstanceQuery): InstanceFilters {
  const orAny = (text: string): string | undefined => (text === "" ? undefined : text);
  return {
    projectId: orAny(parseText(request.projectId, { field: "project_id", most: MAX_NAME_LENGTH })),
    host: orAny(parseText(request.host, { field: "host", most: MAX_HOST_LENGTH })),
    name: orAny(parseText(request.name, { field: "name", most: MAX_NAME_LENGTH, free: true })),
    powerState: powerStateFrom(request.powerState),
  };
}

/** An instance for the wire. */
export function messageFromInstance(instance: Instance): InstanceMessage {
  return {
    instanceUuid: instance.uuid,
    name: instance.name,
    projectId: instance.projectId,
    userId: instance.userId,
    host: instance.host ?? "",
    powerState: instance.powerState ? POWER_STATES[instance.powerState] : PowerMessage.POWER_STATE_UNSPECIFIED,
    vmState: instance.vmState,
    taskState: instance.taskState,
    displays: instance.displays.map((kind) => DISPLAYS[kind]),
    registered: instance.registered,
    createdAt: instance.createdAt,
    updatedAt: instance.updatedAt,
  };
}

/** One step of a watch for the wire. */
export function messageFromInstanceStep(step: InstanceStep, revision: bigint): WatchInstancesResponse {
  switch (step.kind) {
    case "instance":
      return { revision, event: { $case: "instance", instance: messageFromInstance(step.instance) } };
    case "removed":
      return { revision, event: { $case: "removed", removed: { instanceUuid: step.uuid } } };
    case "synced":
      return { revision, event: { $case: "synced", synced: {} } };
  }
}

/** A host for the wire. */
export function messageFromHost(host: Host): HostMessage {
  return {
    host: host.host,
    connected: host.connected,
    hypervisorAvailable: host.hypervisor.available,
    inventoryComplete: host.inventoryComplete,
    agentVersion: host.agentVersion,
    libvirtVersion: host.hypervisor.libvirtVersion,
    hypervisorVersion: host.hypervisor.hypervisorVersion,
    spice: host.hypervisor.spice,
    vnc: host.hypervisor.vnc,
    instanceCount: host.instanceCount,
    connectedControllers: host.connectedControllers,
    lastSeenAt: host.lastSeenAt,
  };
}

/** A fault for the wire. */
export function messageFromFault({ occurredAt, reason, message, host, requestId }: RecordedFault): FaultMessage {
  return { occurredAt, reason, message, host, requestId };
}

function isUpdatable(path: string): path is keyof typeof UPDATABLE {
  return Object.hasOwn(UPDATABLE, path);
}

function powerStateFrom(message: PowerMessage): PowerState | undefined {
  if (message === PowerMessage.POWER_STATE_UNSPECIFIED) return undefined;
  const found = Object.entries(POWER_STATES).find(([, value]) => value === message);
  if (!found) throw invalid("power_state", "must be a known power state");
  return found[0] as PowerState;
}
