// SPDX-License-Identifier: Apache-2.0
import type { DomainEventKind } from "./host.js";
import type { Instance, PowerState } from "./instance.js";

/** What ends whatever looks at an instance. */
export type InstanceEnd = "stopped" | "crashed" | "deleted";

/** Something that happened to an instance; one that has moved goes on, on another host. */
export interface InstanceChange {
  readonly uuid: string;
  readonly kind: InstanceEnd | "moved";
  /** As it is afterwards; undefined where nothing is left of it. */
  readonly instance: Instance | undefined;
}

const ENDS = new Map<PowerState, InstanceEnd>([
  ["shut-off", "stopped"],
  ["saved", "stopped"],
  ["crashed", "crashed"],
]);
const ACTIVE: readonly (PowerState | undefined)[] = ["running", "paused", "suspended"];

/** What an event of a host means for the instance; undefined where it goes on, here or, migrated, elsewhere. */
export function endByEvent(kind: DomainEventKind, host: string, after: Instance | undefined): InstanceEnd | undefined {
  if (kind !== "stopped" && kind !== "crashed") return undefined;
  return after === undefined || after.host === host ? kind : undefined;
}

/** What a host's snapshot says of an instance that ran there; undefined where it still runs, or where nobody knows. */
export function endBySnapshot(host: string, before: Instance | undefined, after: Instance): InstanceEnd | undefined {
  if (!ACTIVE.includes(before?.powerState) || after.host !== host || after.powerState === undefined) return undefined;
  return ENDS.get(after.powerState);
}

/** Whether an instance is on another host than it was; one that comes to a host, or leaves all, has not moved. */
export function isMove(before: Instance | undefined, after: Instance | undefined): boolean {
  return before?.host !== undefined && after?.host !== undefined && before.host !== after.host;
}
