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

/** Runs it, and fails where that takes longer than it may for any input. */
export function inTime<T>(mostMs: number, run: () => T): T {
  const begun = performance.now();
  const value = run();
  expect(performance.now() - begun, "milliseconds").to.be.lessThan(mostMs);
  return value;
}
