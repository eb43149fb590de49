// SPDX-License-Identifier: Apache-2.0
import { InvalidArgumentError } from "commander";

const SECONDS = { s: 1, m: 60, h: 3_600, d: 86_400 } as const;
/** What a field of the protocol holds. */
const MOST = 2 ** 32 - 1;

/** "90s", "15m", "1h", "30d" in seconds; for an option of commander. How long it may be is the other side's word. */
export function parseDuration(text: string): number {
  const [, count, unit] = /^([1-9]\d{0,9})([smhd])$/.exec(text) ?? [];
  const seconds = Number(count) * SECONDS[unit as keyof typeof SECONDS];
  if (unit !== undefined && seconds <= MOST) return seconds;
  throw new InvalidArgumentError("It must be a number and s, m, h or d: 90s, 15m, 1h, 30d.");
}
