// SPDX-License-Identifier: Apache-2.0

/** What was promised, and what was found. */
export interface Verdict {
  readonly what: string;
  readonly budget: string;
  readonly found: string;
  readonly kept: boolean;
}
