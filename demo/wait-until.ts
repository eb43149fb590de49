// SPDX-License-Identifier: Apache-2.0
import { setTimeout as sleep } from "node:timers/promises";

const POLL_MS = 15;

/** What is waited for, and for how long. */
export interface WaitOptions {
  /** How long to wait at most, in milliseconds. */
  readonly ms: number;
  /** Completes the sentence "waited N ms for …". */
  readonly what: string;
}

/**
 * Asks again and again until the answer is yes; for what announces itself by no event, such as the end of a process
 * that is not our child. Throws at the deadline, and whatever `condition` throws. Keeps the process alive meanwhile.
 */
export async function waitUntil(condition: () => boolean | Promise<boolean>, { ms, what }: WaitOptions): Promise<void> {
  const end = performance.now() + ms;
  while (!(await condition())) {
    if (performance.now() >= end) throw new Error(`waited ${ms} ms for ${what}`);
    await sleep(POLL_MS);
  }
}
