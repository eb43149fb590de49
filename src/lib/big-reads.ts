// SPDX-License-Identifier: Apache-2.0
// Node reads 64 KiB at a time, which is what limits a channel while pictures flow. A display's socket reads 256 KiB into
// a buffer that is then handed on as it is. One that has little to say reads into a buffer that all such sockets share:
// thousands of idle channels hold none of their own.
import type { OnReadOpts, Socket } from "node:net";
import { BIG_READ_BYTES, SMALL_READ_BYTES } from "./limits.js";

/** Free between two reads: what is read is copied out at once. */
const shared = Buffer.allocUnsafeSlow(SMALL_READ_BYTES);

/**
 * Makes a socket that reads in larger pieces while much comes: `make` gives what it gets to `connect` or `new Socket` as
 * `onread`. To whoever reads it is a socket like any other: its bytes come as `data`, can be piped, and are held back.
 */
export function withBigReads(make: (onread: OnReadOpts) => Socket): Socket {
  let buffer = shared;
  const take = (count: number): Buffer => {
    const full = buffer;
    const isBig = full !== shared && count >= BIG_READ_BYTES / 2;
    buffer = isBig || count === SMALL_READ_BYTES ? Buffer.allocUnsafeSlow(BIG_READ_BYTES) : shared;
    return isBig ? full.subarray(0, count) : Buffer.from(full.subarray(0, count));
  };
  const socket = make({ buffer: () => buffer, callback: (count) => socket.push(take(count)) });
  return socket;
}
