// SPDX-License-Identifier: Apache-2.0
import fc from "fast-check";
import type { FuzzTarget } from "../../fuzz/fuzz-target.js";

/** Fails for every large number. */
export const target: FuzzTarget = { runs: 100, property: fc.property(fc.nat(), (number) => number < 1_000) };
