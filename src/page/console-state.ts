// SPDX-License-Identifier: Apache-2.0
// The page as a state machine. It knows no browser: console.ts does what a state asks for and reports what happens.
import { type Reason, wordsOf } from "./words.js";

/** Where the page is. */
export type ConsoleState =
  | { readonly name: "connecting" }
  | { readonly name: "connected"; readonly attempt: number }
  | {
      readonly name: "reconnecting";
      readonly phase: "waiting" | "trying";
      /** The attempt that is waited for or under way, from 1. */
      readonly attempt: number;
      /** Why the last connection, or the last attempt, failed. */
      readonly reason: Reason;
    }
  | { readonly name: "ended"; readonly reason: Reason }
  | { readonly name: "refused"; readonly reason: Reason };

/** What can happen to it. */
export type ConsoleEvent =
  /** The machine's display has answered. */
  | { readonly type: "opened" }
  /** The connection has held for a while: the next wait is a short one again. */
  | { readonly type: "steady" }
  /** The connection, or an attempt at one, has failed. */
  | { readonly type: "failed"; readonly reason: Reason }
  /** The token was not redeemed. The person decides about another attempt: each one shows up in the browser's log. */
  | { readonly type: "refused"; readonly reason: Reason }
  /** The server says that the session is over. */
  | { readonly type: "ended"; readonly reason: Reason }
  /** A wait is over, or the person asks for another attempt. */
  | { readonly type: "try" };

/** Reasons that end a session, as opposed to reasons that kept it from being opened. */
const ENDS: ReadonlySet<Reason> = new Set<Reason>([
  "ENDED_BY_YOU",
  "TERMINATED",
  "INSTANCE_STOPPED",
  "INSTANCE_CRASHED",
  "INSTANCE_DELETED",
  "SESSION_EXPIRED",
  "IDLE",
  "TAKEN_OVER",
  "ABANDONED",
  "SESSION_ENDED",
  "DISPLAY_CLOSED",
]);

/** The state after an event; the same object where the event changes nothing. */
export function next(state: ConsoleState, event: ConsoleEvent): ConsoleState {
  switch (event.type) {
    case "opened":
      return isTrying(state) ? { name: "connected", attempt: attemptOf(state) } : state;
    case "steady":
      return state.name === "connected" ? { name: "connected", attempt: 0 } : state;
    case "failed":
      return isOver(state) ? state : afterFailure(state, event.reason);
    case "refused":
    case "ended":
      return isOver(state) ? state : { name: event.type, reason: event.reason };
    case "try":
      return afterTry(state);
  }
}

/** Whether an attempt to connect is under way. */
export function isTrying(state: ConsoleState): boolean {
  return state.name === "connecting" || (state.name === "reconnecting" && state.phase === "trying");
}

/** Whether the page does nothing more by itself. */
export function isOver(state: ConsoleState): boolean {
  return state.name === "ended" || state.name === "refused";
}

function afterFailure(state: ConsoleState, reason: Reason): ConsoleState {
  // Nobody has taken away what this page did not have yet: the machine may still be letting go of the viewer before.
  const passes = wordsOf(reason).next === "wait" || (reason === "DISPLAY_CLOSED" && isTrying(state));
  if (!passes) return { name: ENDS.has(reason) ? "ended" : "refused", reason };
  return { name: "reconnecting", phase: "waiting", attempt: attemptOf(state) + 1, reason };
}

function afterTry(state: ConsoleState): ConsoleState {
  if (state.name === "reconnecting") return { ...state, phase: "trying" };
  if (isOver(state)) return { name: "connecting" };
  return state;
}

function attemptOf(state: ConsoleState): number {
  return state.name === "connected" || state.name === "reconnecting" ? state.attempt : 0;
}
