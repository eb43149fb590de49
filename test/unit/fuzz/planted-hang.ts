// SPDX-License-Identifier: Apache-2.0
import fc from "fast-check";
import type { FuzzTarget } from "../../fuzz/fuzz-target.js";

/** Never comes back from its first input. */
export const target: FuzzTarget = {
  runs: 1,
  property: fc.property(fc.nat(), () => {
    for (;;);
  }),
};
