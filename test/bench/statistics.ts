// SPDX-License-Identifier: Apache-2.0

/** The value that `percent` of the values do not exceed; 0 of none. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)] ?? 0;
}

/** The middle value; of an even number the lower middle one. */
export function median(values: readonly number[]): number {
  return percentile(values, 50);
}
