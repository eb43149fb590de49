// SPDX-License-Identifier: Apache-2.0
import type { DomainChangeKind } from "../hypervisor.js";

/** libvirt's virDomainEventType. */
const EVENT = {
  defined: 0,
  undefined: 1,
  started: 2,
  suspended: 3,
  resumed: 4,
  stopped: 5,
  shutdown: 6,
  pmsuspended: 7,
  crashed: 8,
} as const;
/** A rename is told as undefined and defined, with the same uuid (virDomainEventUndefinedDetailType). */
const UNDEFINED_RENAMED = 1;
/** Why it stopped, as far as it matters (virDomainEventStoppedDetailType). */
const STOPPED = { crashed: 2, migrated: 3, failed: 5 } as const;

/**
 * What a lifecycle event means, or undefined for one that says nothing of its own: after "shutdown", the guest's own
 * halt, comes "stopped"; after the first half of a rename the second.
 */
export function changeKind(event: number, detail: number): DomainChangeKind | undefined {
  switch (event) {
    case EVENT.defined:
      return "defined";
    case EVENT.undefined:
      return detail === UNDEFINED_RENAMED ? undefined : "undefined";
    case EVENT.started:
      return "started";
    case EVENT.suspended:
    case EVENT.pmsuspended:
      return "suspended";
    case EVENT.resumed:
      return "resumed";
    case EVENT.stopped:
      return stoppedKind(detail);
    case EVENT.crashed:
      return "crashed";
    default:
      return undefined;
  }
}

/** A hypervisor process that died ("failed") is a crash to the people at the screen. */
function stoppedKind(detail: number): DomainChangeKind {
  if (detail === STOPPED.migrated) return "migrated";
  return detail === STOPPED.crashed || detail === STOPPED.failed ? "crashed" : "stopped";
}
