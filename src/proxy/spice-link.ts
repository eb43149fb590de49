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
import { ViewOnlyFilter } from "./view-only-filter.js";
import type { Opening, ViewerProtocol } from "./viewer-protocol.js";

const MAGIC = Buffer.from("REDQ", "latin1");
const MAJOR = 2;
const HEADER_BYTES = 16;
const MESSAGE_BYTES = 18;
const CAPABILITY_BYTES = 4;

/** Bits of the first word of common capabilities: the client says how it authenticates, and sends short headers. */
const AUTH_SELECTION = 1 << 0;
const MINI_HEADER = 1 << 3;

const MAIN_CHANNEL = 1;
const INPUTS_CHANNEL = 3;
const MINI_HEADER_BYTES = 6;
/** Keys and mouse; smaller numbers are common to all channels (acknowledgements, pongs). */
const FIRST_INPUT_TYPE = 101;

/** What is to know about one connection of a SPICE client. */
export class SpiceViewer implements ViewerProtocol {
  readonly #viewOnly: boolean;
  #held: Buffer = Buffer.alloc(0);
  #type: number | undefined;
  #filter: ViewOnlyFilter | undefined;

  /** Who may only look reaches nothing in the machine over the main channel; the other channels are let in or not. */
  constructor({ viewOnly }: { readonly viewOnly: boolean }) {
    this.#viewOnly = viewOnly;
  }

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
      bytes: this.#viewOnly && this.#type === MAIN_CHANNEL ? this.#beginFilter(all, message) : all,
    };
  }

  /** See ViewerProtocol. */
  pass(message: Buffer): Buffer {
    return this.#filter ? this.#filter.pass(message) : message;
  }

  /** True for a message of the inputs channel that begins with a whole message of keys or mouse, as clients send them. */
  isInput(message: Buffer): boolean {
    if (this.#type !== INPUTS_CHANNEL || message.length < MINI_HEADER_BYTES) return false;
    return message.readUInt16LE(0) >= FIRST_INPUT_TYPE && message.readUInt32LE(2) + MINI_HEADER_BYTES <= message.length;
  }

  /** The link message passes as it is. Throws for a client whose messages the filter could not tell apart. */
  #beginFilter(all: Buffer, message: Buffer): Buffer {
    const offered = message.readUInt32LE(6) === 0 ? 0 : message.readUInt32LE(message.readUInt32LE(14));
    if ((offered & AUTH_SELECTION) === 0 || (offered & MINI_HEADER) === 0) {
      throw invalid(
        "must offer short headers and the choice of authentication where its console is only to be looked at",
      );
    }
    this.#filter = new ViewOnlyFilter();
    const link = HEADER_BYTES + message.length;
    return Buffer.concat([all.subarray(0, link), this.#filter.pass(all.subarray(link))]);
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
