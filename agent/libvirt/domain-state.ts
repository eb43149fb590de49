// SPDX-License-Identifier: Apache-2.0
import type { DomainState } from "../hypervisor.js";

/** libvirt's virDomainState, as far as it is told apart here; blocked is running, with nothing to do. */
const STATE = { running: 1, blocked: 2, paused: 3, shutdown: 4, shutoff: 5, crashed: 6, pmsuspended: 7 } as const;
/** Why a domain is paused or off, as far as it matters (virDomainPausedReason, virDomainShutoffReason). */
const PAUSED = { migration: 2, startingUp: 11, postCopy: 12 } as const;
const SHUTOFF_SAVED = 5;

/** True where the domain is off, so that only its files tell whether it was saved. */
export function isOff(state: number): boolean {
  return state === STATE.shutdown || state === STATE.shutoff;
}

/**
 * A domain's state from what virDomainGetState said. `saved` tells whether a managed save image exists, since libvirtd
 * forgets the reason of a domain that is off when it restarts.
 */
export function domainState(state: number, reason: number, saved: boolean): DomainState {
  switch (state) {
    case STATE.running:
    case STATE.blocked:
      return "running";
    case STATE.paused:
      return pausedState(reason);
    case STATE.shutdown:
    case STATE.shutoff:
      return saved || reason === SHUTOFF_SAVED ? "saved" : "shut-off";
    case STATE.crashed:
      return "crashed";
    case STATE.pmsuspended:
      return "suspended";
    default:
      return "unknown";
  }
}

/**
 * Paused for migration is said of both ends: of the target all the time, of the source at the very end, when the guest
 * has left it. On neither end does the guest run, so both are "incoming": no console there, and no claim to own the
 * instance; whichever end resumes it claims it. A guest that its user had paused keeps that reason on the source.
 * After a switch to post-copy the source is such a husk as well.
 */
function pausedState(reason: number): DomainState {
  const elsewhere = reason === PAUSED.migration || reason === PAUSED.postCopy || reason === PAUSED.startingUp;
  return elsewhere ? "incoming" : "paused";
}
