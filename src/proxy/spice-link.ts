// SPDX-License-Identifier: Apache-2.0
// How a SPICE connection begins (spice-protocol, spice/protocol.h; all numbers little endian). The client's first words are
//
//   SpiceLinkHeader  magic "REDQ", major u32, minor u32, size u32 of what follows
//   SpiceLinkMess    connection_id u32, channel_type u8, channel_id u8, num_common_caps u32, num_channel_caps u32,
//                    caps_offset u32 from here, then the capabilities, u32 each
//
// From then on its messages have a header too: type u16, size u32 of what follows.
import { MAX_SPICE_LINK_BYTES } from "../lib/limits.js";
import { ServiceError } from "../lib/service-error.js";
import type { Opening, ViewerProtocol } from "./viewer-protocol.js";

const MAGIC = Buffer.from("REDQ", "latin1");
const MAJOR = 2;
const HEADER_BYTES = 16;
const MESSAGE_BYTES = 18;
const CAPABILITY_BYTES = 4;

const INPUTS_CHANNEL = 3;
const MINI_HEADER_BYTES = 6;
/** Keys and mouse; smaller numbers are common to all channels (acknowledgements, pongs). */
const FIRST_INPUT_TYPE = 101;

/** What is to know about one connection of a SPICE client. */
export class SpiceViewer implements ViewerProtocol {
  #held: Buffer = Buffer.alloc(0);
  #type: number | undefined;

  /** How many bytes wait for the rest of the link message; less than MAX_SPICE_LINK_BYTES. */
  get heldBytes(): number {
    return this.#held.length;
  }

  /** Reads the link message, in pieces of any size. Throws INVALID_ARGUMENT as soon as it cannot become one. */
  open(bytes: Buffer): Opening | undefined {
    const all = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes]);
    const size = linkSize(all);
    if (size === undefined || all.length < HEADER_BYTES + size) {
      // A copy, so that it does not keep the large buffer alive that it came in.
      this.#held = Buffer.from(all);
      return undefined;
    }
    const message = all.subarray(HEADER_BYTES, HEADER_BYTES + size);
    checkCapabilities(message);
    this.#held = Buffer.alloc(0);
    this.#type = message.readUInt8(4);
    return {
      link: { connectionId: message.readUInt32LE(0), type: this.#type, number: message.readUInt8(5) },
      bytes: all,
    };
  }

  /** True for a message of the inputs channel that begins with a whole message of keys or mouse, as clients send them. */
  isInput(message: Buffer): boolean {
    if (this.#type !== INPUTS_CHANNEL || message.length < MINI_HEADER_BYTES) return false;
    return message.readUInt16LE(0) >= FIRST_INPUT_TYPE && message.readUInt32LE(2) + MINI_HEADER_BYTES <= message.length;
  }
}

/** The size that the header says; undefined while the header is not complete. */
function linkSize(bytes: Buffer): number | undefined {
  const magic = bytes.subarray(0, MAGIC.length);
  if (!magic.equals(MAGIC.subarray(0, magic.length))) throw invalid("does not begin with SPICE's magic");
  if (bytes.length < HEADER_BYTES) return undefined;
  if (bytes.readUInt32LE(4) !== MAJOR) throw invalid("is not of SPICE's major version 2");
  const size = bytes.readUInt32LE(12);
  if (size < MESSAGE_BYTES || size > MAX_SPICE_LINK_BYTES - HEADER_BYTES) throw invalid("has an impossible size");
  return size;
}

function checkCapabilities(message: Buffer): void {
  const count = message.readUInt32LE(6) + message.readUInt32LE(10);
  if (count === 0) return;
  const offset = message.readUInt32LE(14);
  if (offset < MESSAGE_BYTES || offset + count * CAPABILITY_BYTES > message.length) {
    throw invalid("has capabilities outside itself");
  }
}

function invalid(what: string): ServiceError {
  return new ServiceError("INVALID_ARGUMENT", `the viewer's first message ${what}`);
}
