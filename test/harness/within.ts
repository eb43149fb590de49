// SPDX-License-Identifier: Apache-2.0
import { withDeadline } from "../../src/lib/deadline.js";

/** How long a test waits for something that has to happen, in milliseconds. */
const PATIENCE_MS = 5_000;

/** Waits for a promise; fails with the name of what did not happen. */
export function within<T>(what: string, promise: Promise<T>, ms = PATIENCE_MS): Promise<T> {
  return withDeadline({ ms, expired: () => new Error(`waited ${ms} ms for ${what}`) }, () => promise);
}

/** Looks again after every turn of the event loop until a condition holds. */
export function until(what: string, holds: () => boolean, ms = PATIENCE_MS): Promise<void> {
  const expired = (): Error => new Error(`waited ${ms} ms for ${what}`);
  return withDeadline({ ms, expired }, async (signal) => {
    while (!holds() && !signal.aborted) await new Promise((resolve) => setImmediate(resolve));
  });
}
