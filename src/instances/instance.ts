// SPDX-License-Identifier: Apache-2.0

// What an instance and a host are to this controller. The words are ours; entrances translate to and from protocols.

/** What the hypervisor says of a domain. */
export type PowerState = "running" | "paused" | "shut-off" | "saved" | "crashed" | "suspended" | "incoming" | "unknown";

/** The protocol of a display. */
export type DisplayKind = "spice" | "vnc" | "unknown";

/** An instance as stored. Texts that are not known are empty. */
export interface Instance {
  readonly uuid: string;
  readonly name: string;
  /** Empty: only administrators see it. */
  readonly projectId: string;
  readonly userId: string;
  readonly vmState: string;
  readonly taskState: string;
  /** True once an orchestrator has registered it. */
  readonly registered: boolean;
  /** The host it is on; undefined: none yet. */
  readonly host: string | undefined;
  /** True while an agent vouches for `host`; false where only the orchestrator, or the past, says so. */
  readonly claimed: boolean;
  /** Of the domain on `host`; undefined while no agent reports it. */
  readonly powerState: PowerState | undefined;
  readonly displays: readonly DisplayKind[];
  /** Another host that says it runs the same instance. */
  readonly conflictHost: string | undefined;
  /** Grows with every change of the row. */
  readonly revision: bigint;
  readonly createdAt: Date;
  readonly updatedAt: Date;
  /** True for a tombstone. */
  readonly deleted: boolean;
}

/** The orchestrator's half of an instance. */
export interface InstanceRegistration {
  readonly uuid: string;
  readonly name: string;
  readonly projectId: string;
  readonly userId: string;
  /** Empty: none. Ignored while an agent claims the domain. */
  readonly host: string;
  readonly vmState: string;
  readonly taskState: string;
}

/** The fields an orchestrator may change one by one. `host` is refused while an agent claims the domain. */
export type InstanceChanges = Partial<Omit<InstanceRegistration, "uuid">>;

/** A part of a name, in whichever case; at its start or its end where that is asked for. */
export interface NamePart {
  readonly text: string;
  readonly atStart: boolean;
  readonly atEnd: boolean;
}

/** Which instances to list; an absent filter matches everything. */
export interface InstanceFilters {
  readonly projectId?: string | undefined;
  readonly host?: string | undefined;
  readonly name?: string | undefined;
  readonly powerState?: PowerState | undefined;
  readonly namePart?: NamePart | undefined;
  /** Only what comes after this uuid in the order of the list. */
  readonly after?: string | undefined;
}

/** A failure on the host's side while a console was asked for. */
export interface InstanceFault {
  readonly instanceUuid: string;
  readonly reason: string;
  readonly message: string;
  readonly host: string;
  readonly requestId: string;
}

/** A fault as stored. */
export interface RecordedFault extends InstanceFault {
  readonly occurredAt: Date;
}
