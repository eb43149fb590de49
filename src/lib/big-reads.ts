// SPDX-License-Identifier: Apache-2.0
// Node reads 64 KiB at a time into memory that it then leaves to the garbage collector, which is what limits a channel
// while pictures flow. A display's socket reads up to 256 KiB into a buffer that is lent to whoever passes the bytes on, and
// comes back when they have left. One that has little to say reads into a buffer that all such sockets share: thousands
// of idle channels hold none of their own.
import type { OnReadOpts, Socket } from "node:net";
import { BIG_READ_BYTES, MAX_SPARE_READ_BUFFERS, SMALL_READ_BYTES } from "./limits.js";

/** Free between two reads: what is read is copied out at once. */
const shared = Buffer.allocUnsafeSlow(SMALL_READ_BYTES);
const spare: Buffer[] = [];
/** Buffers with somebody's bytes, by their memory. */
const lent = new WeakMap<ArrayBufferLike, Buffer>();

/**
 * Makes a socket that reads in larger pieces while much comes: `make` gives what it gets to `connect` or `new Socket` as
 * `onread`. To whoever reads it is a socket like any other: its bytes come as `data`, can be piped, and are held back.
 */
export function withBigReads(make: (onread: OnReadOpts) => Socket): Socket {
  let buffer: Buffer = shared;
  const take = (count: number): Buffer => {
    const full = buffer;
    // From a large buffer less than a quarter would hold back much memory for little.
    const lends = full !== shared && count >= BIG_READ_BYTES / 4;
    const goesOn = count === SMALL_READ_BYTES || count >= BIG_READ_BYTES / 2;
    if (full !== shared && !lends) keep(full);
    buffer = goesOn ? (spare.pop() ?? Buffer.allocUnsafeSlow(BIG_READ_BYTES)) : shared;
    if (!lends) return Buffer.from(full.subarray(0, count));
    lent.set(full.buffer, full);
    return full.subarray(0, count);
  };
  const socket = make({ buffer: () => buffer, callback: (count) => socket.push(take(count)) });
  return socket;
}

/**
 * Gives back bytes that came from such a socket; nobody may look at them any more. For all others, and a second time, it
 * does nothing. Whoever does not know when nobody looks at them leaves it: the garbage collector gets them.
 */
export function giveBack(bytes: Buffer): void {
  const buffer = lent.get(bytes.buffer);
  if (!buffer) return;
  lent.delete(bytes.buffer);
  keep(buffer);
}

function keep(buffer: Buffer): void {
  if (spare.length < MAX_SPARE_READ_BUFFERS) spare.push(buffer);
}
