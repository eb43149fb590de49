// SPDX-License-Identifier: Apache-2.0

const FIRST_MS = 1_000;
const MOST_MS = 20_000;

/**
 * Milliseconds to wait before the n-th attempt (from 1). The window doubles up to 20 s; the wait is random in its upper
 * half, so that many pages that lost the same server do not come back together, and a countdown still means something.
 */
export function reconnectWait(attempt: number, random: () => number = Math.random): number {
  const window = Math.min(FIRST_MS * 2 ** (attempt - 1), MOST_MS);
  return Math.round((window / 2) * (1 + random()));
}
