// SPDX-License-Identifier: Apache-2.0
// Whoever may only look writes what it likes; what the display then reads is judged by a reader that takes after
// spice-server and not after the program under test: which messages does it act upon?
import { expect } from "chai";
import fc from "fast-check";
import { reasonOf } from "../../src/lib/service-error.js";
import { SpiceViewer } from "../../src/proxy/spice-link.js";
import { linkMessage } from "../harness/spice-messages.js";
import type { FuzzTarget } from "./fuzz-target.js";
import { spoilt } from "./mutations.js";

/** What acknowledges, and the request for the list of channels. */
const MAY_REACH_IT = [1, 2, 3, 6, 101, 104];
const MAIN = 1;
const BY_TICKET = 1;

/** What a display makes of a connection, read from its beginning. */
interface Reading {
  /** Undefined where it has answered no link. */
  readonly channel?: number;
  /** The way to authenticate that it was told, or took for granted. */
  readonly mechanism?: number;
  /** Types of the messages whose headers it has read. */
  readonly types: readonly number[];
}

/** As spice-server's reds.cpp and red-channel-client.cpp read: all lengths in 32 bits, without headers where not both offer short ones. */
function readAsDisplay(bytes: Buffer): Reading {
  const word = (at: number): number => bytes.readUInt32LE(at);
  if (bytes.length < 16 || bytes.toString("latin1", 0, 4) !== "REDQ" || word(4) !== 2) return { types: [] };
  const end = 16 + word(12);
  if (end < 34 || bytes.length < end) return { types: [] };
  const [common, offset] = [word(22), word(30)];
  const total = (common + word(26)) >>> 0;
  if (total > 0 && (((total * 4) >>> 0) + offset > end - 16 || offset < 18)) return { types: [] };
  const offers = (bit: number): boolean => common > 0 && ((word(16 + offset) >>> bit) & 1) === 1;
  const [channel, chooses, short] = [bytes.readUInt8(20), offers(0), offers(3)];
  const ticketAt = chooses ? end + 4 : end;
  if (bytes.length < ticketAt) return { channel, types: [] };
  const mechanism = chooses ? word(end) : BY_TICKET;
  const types: number[] = [];
  // A full header: serial u64, type u16, size u32, sub list u32.
  const [head, typeAt] = short ? [6, 0] : [18, 8];
  for (let at = ticketAt + 128; at + head <= bytes.length; at += head + word(at + typeAt + 2)) {
    types.push(bytes.readUInt16LE(at + typeAt));
  }
  return { channel, mechanism, types };
}

/** What comes out at the display's side, up to the message at which the viewer is refused. */
function passedOn(bytes: Buffer, sizes: readonly number[]): Buffer {
  const viewer = new SpiceViewer({ viewOnly: true });
  const passed: Buffer[] = [];
  let isOpen = false;
  for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
    const end = at + (sizes[turn % sizes.length] ?? 1);
    const piece = bytes.subarray(at, end);
    at = end;
    try {
      if (isOpen) passed.push(viewer.pass(piece));
      else {
        const opening = viewer.open(piece);
        if (opening) passed.push(opening.bytes);
        isOpen = opening !== undefined;
      }
    } catch (error) {
      expect(reasonOf(error)).to.equal("INVALID_ARGUMENT");
      break;
    }
  }
  return Buffer.concat(passed);
}

const CAPS = (1 << 0) | (1 << 1) | (1 << 3);
const u32 = fc.oneof(fc.nat({ max: 40 }), fc.nat({ max: 0xffff_ffff }));
const caps = fc.oneof({ weight: 3, arbitrary: fc.constant([CAPS]) }, fc.array(u32, { maxLength: 4 }));
const link = fc
  .record({ connectionId: u32, commonCaps: caps, channelCaps: fc.array(u32, { maxLength: 3 }) })
  .map((fields) => linkMessage({ ...fields, type: MAIN }));
const mechanism = fc.oneof({ weight: 4, arbitrary: fc.constant(BY_TICKET) }, fc.nat({ max: 3 })).map((number) => {
  const bytes = Buffer.alloc(4 + 128, 107);
  bytes.writeUInt32LE(number, 0);
  return bytes;
});
const message = fc
  .record({
    type: fc.oneof(fc.integer({ min: 0, max: 8 }), fc.integer({ min: 100, max: 114 }), fc.nat({ max: 0xffff })),
    body: fc.uint8Array({ maxLength: 24 }),
    lie: fc.oneof({ weight: 6, arbitrary: fc.constant(0) }, fc.integer({ min: -24, max: 24 }), u32),
  })
  .map(({ type, body, lie }) => {
    const bytes = Buffer.alloc(6);
    bytes.writeUInt16LE(type, 0);
    bytes.writeUInt32LE((body.length + lie) >>> 0, 2);
    return Buffer.concat([bytes, body]);
  });
const whole = fc
  .tuple(link, mechanism, fc.array(message, { maxLength: 12 }))
  .map(([first, ticket, messages]) => Buffer.concat([first, ticket, ...messages]));
const bytes = fc.oneof({ weight: 3, arbitrary: whole }, spoilt(whole));
const sizes = fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 8 });

/** Over main the display authenticates by tickets alone and hears nothing but what is harmless, in whatever pieces it was sent. */
export const target: FuzzTarget = {
  runs: 2_000,
  property: fc.property(bytes, sizes, (sent, pieces) => {
    const { channel, mechanism: by, types } = readAsDisplay(passedOn(sent, pieces));
    if (channel !== MAIN) return;
    expect([undefined, BY_TICKET]).to.include(by);
    for (const type of types) expect(MAY_REACH_IT).to.include(type);
  }),
};
