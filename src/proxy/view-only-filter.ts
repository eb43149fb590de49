// SPDX-License-Identifier: Apache-2.0
// Over SPICE's main channel a viewer reaches the agent within the machine too: the clipboard, files, the size of the
// screen. Who may only look gets what acknowledges, and nothing else, through to the display. After its link message a
// client sends (spice-protocol, spice/protocol.h and spice/enums.h; all numbers little endian)
//
//   the way to authenticate u32, then a ticket of 128 bytes
//   messages: type u16, size u32 of what follows
//
// That order and those headers are what its link message has offered; without that offer it is not let in.
import { ServiceError } from "../lib/service-error.js";

const AUTH_SPICE = 1;
const MECHANISM_BYTES = 4;
const TICKET_BYTES = 128;
const HEADER_BYTES = 6;

/** What does nothing to the machine; whatever else there is now, or will be, is dropped. */
const HARMLESS: ReadonlySet<number> = new Set([
  1, // ACK_SYNC
  2, // ACK
  3, // PONG
  6, // DISCONNECTING
  101, // MAIN_CLIENT_INFO
  104, // MAIN_ATTACH_CHANNELS
]);

/** Reads what the client of one main channel sends after its link message, in pieces of any size. */
export class ViewOnlyFilter {
  #authenticates = true;
  /** The beginning of a header, or of the way to authenticate, that is not whole yet. */
  #held: Buffer = Buffer.alloc(0);
  /** How many bytes of the present message are to come, and whether it passes. */
  #left = 0;
  #passes = true;

  /** What of these bytes may go to the display, in order. Throws INVALID_ARGUMENT for a client that authenticates otherwise. */
  pass(bytes: Buffer): Buffer {
    const all = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes]);
    const passed: Buffer[] = [];
    let from = 0;
    let at = 0;
    while (at < all.length && (this.#left > 0 || this.#isHeadWhole(all, at))) {
      if (this.#left === 0) {
        const passes = this.#begin(all, at);
        if (passes !== this.#passes) {
          if (this.#passes) passed.push(all.subarray(from, at));
          from = at;
        }
        this.#passes = passes;
      }
      const step = Math.min(this.#left, all.length - at);
      this.#left -= step;
      at += step;
    }
    if (this.#passes) passed.push(all.subarray(from, at));
    this.#held = Buffer.from(all.subarray(at));
    return Buffer.concat(passed);
  }

  #isHeadWhole(bytes: Buffer, at: number): boolean {
    return bytes.length - at >= (this.#authenticates ? MECHANISM_BYTES : HEADER_BYTES);
  }

  /** Begins the message that stands there, and says whether it passes. */
  #begin(bytes: Buffer, at: number): boolean {
    if (!this.#authenticates) {
      this.#left = HEADER_BYTES + bytes.readUInt32LE(at + 2);
      return HARMLESS.has(bytes.readUInt16LE(at));
    }
    if (bytes.readUInt32LE(at) !== AUTH_SPICE) {
      throw new ServiceError("INVALID_ARGUMENT", "who may only look must authenticate by a ticket");
    }
    this.#authenticates = false;
    this.#left = MECHANISM_BYTES + TICKET_BYTES;
    return true;
  }
}
