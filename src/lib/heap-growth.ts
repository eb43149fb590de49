// SPDX-License-Identifier: Apache-2.0
import { setFlagsFromString } from "node:v8";
import { HEAP_GROWING_PERCENT } from "./limits.js";

/**
 * Lets the heap grow by a fixed share between two full collections. V8 would choose a smaller one where the heap is small and
 * quickly collected, but counts what was read from sockets towards it: while 20 MB of that are on their way, each collection
 * is then followed by the next, and a transfer gets half its speed until the process ends. V8 reads the flag at each
 * collection, so it may be set while the program runs; a second call changes nothing.
 */
export function steadyHeapGrowth(): void {
  setFlagsFromString(`--heap-growing-percent=${HEAP_GROWING_PERCENT}`);
}
