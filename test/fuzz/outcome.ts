// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";

/** What reading came to: a value, or the one kind of error that it may end with. */
export type Outcome<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly message: string };

/** Runs it; every error that `expected` does not know is passed on, which is a finding. */
export function outcomeOf<T>(run: () => T, expected: (error: unknown) => boolean): Outcome<T> {
  try {
    return { ok: true, value: run() };
  } catch (error) {
    if (!expected(error)) throw error;
    return { ok: false, message: (error as Error).message };
  }
}

/** Runs it, and fails where that takes more of the processor than it may for any input: a busy machine counts for nothing. */
export function inTime<T>(mostMs: number, run: () => T): T {
  const begun = process.cpuUsage();
  const value = run();
  const { user, system } = process.cpuUsage(begun);
  expect((user + system) / 1_000, "milliseconds of the processor").to.be.lessThan(mostMs);
  return value;
}
