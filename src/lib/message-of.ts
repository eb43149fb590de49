// SPDX-License-Identifier: Apache-2.0

/** What anything thrown says for people. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
