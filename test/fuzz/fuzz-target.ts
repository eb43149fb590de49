// SPDX-License-Identifier: Apache-2.0
import type fc from "fast-check";

/** Something that reads what strangers send. Each file `*.fuzz.ts` exports one as `target`, and runs in a process of its own. */
export interface FuzzTarget {
  /** Inputs of a round, a second's worth or so. A seed gives the same round again. */
  readonly runs: number;
  /** What holds for every input; it throws, or is false, where it does not. */
  readonly property: fc.IRawProperty<unknown>;
  /** What stands around it all the while. */
  readonly start?: () => Promise<void>;
  readonly stop?: () => Promise<void>;
}

/** What a target's process tells, one line of IPC at a time. */
export type FuzzMessage =
  | { readonly kind: "round"; readonly seed: number }
  | { readonly kind: "done"; readonly inputs: number }
  | { readonly kind: "failed"; readonly report: string };

/** Most memory for a target's objects. An input that makes it need more is a finding. */
export const HEAP_MIB = 256;
/** A round is broken off after this long; it needs about a second. */
export const ROUND_MS = 5_000;
/** A process that has not come to the end of a round after this long hangs in an input. */
export const HANG_MS = 20_000;
