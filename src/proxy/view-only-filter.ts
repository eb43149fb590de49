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

const NOTHING = Buffer.alloc(0);

/** Reads what the client of one main channel sends after its link message, in pieces of any size. */
export class ViewOnlyFilter {
  #authenticates = true;
  /** The beginning of a header, or of the way to authenticate, that is not whole yet. */
  #held: Buffer = NOTHING;
  /** How many bytes of the present message are to come, and whether it passes. */
  #left = 0;
  #passes = true;

  /** What of these bytes may go to the display, in order. Throws INVALID_ARGUMENT for a client that authenticates otherwise. */
  pass(bytes: Buffer): Buffer {
    const passed: Buffer[] = [];
    let rest = bytes;
    while (rest.length > 0) rest = this.#left > 0 ? this.#readBody(rest, passed) : this.#readHead(rest, passed);
    return Buffer.concat(passed);
  }

  /** Returns what comes after it. */
  #readBody(bytes: Buffer, passed: Buffer[]): Buffer {
    const part = bytes.subarray(0, this.#left);
    this.#left -= part.length;
    if (this.#passes) passed.push(part);
    return bytes.subarray(part.length);
  }

  /** Returns what comes after it. */
  #readHead(bytes: Buffer, passed: Buffer[]): Buffer {
    const size = this.#authenticates ? MECHANISM_BYTES : HEADER_BYTES;
    const part = bytes.subarray(0, size - this.#held.length);
    const head = this.#held.length === 0 ? part : Buffer.concat([this.#held, part]);
    if (head.length < size) this.#held = Buffer.from(head);
    else this.#begin(head, passed);
    return bytes.subarray(part.length);
  }

  #begin(head: Buffer, passed: Buffer[]): void {
    this.#held = NOTHING;
    if (this.#authenticates) this.#beginTicket(head.readUInt32LE(0));
    else this.#beginMessage(head.readUInt16LE(0), head.readUInt32LE(2));
    if (this.#passes) passed.push(head);
  }

  #beginTicket(mechanism: number): void {
    if (mechanism !== AUTH_SPICE) {
      throw new ServiceError("INVALID_ARGUMENT", "who may only look must authenticate by a ticket");
    }
    this.#authenticates = false;
    this.#left = TICKET_BYTES;
  }

  #beginMessage(type: number, size: number): void {
    this.#passes = HARMLESS.has(type);
    this.#left = size;
  }
}
