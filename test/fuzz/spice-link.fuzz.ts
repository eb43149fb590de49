// SPDX-License-Identifier: Apache-2.0
// The first bytes of a viewer's channel.
import { expect } from "chai";
import fc from "fast-check";
import { MAX_SPICE_LINK_BYTES } from "../../src/lib/limits.js";
import { reasonOf } from "../../src/lib/service-error.js";
import { SpiceViewer } from "../../src/proxy/spice-link.js";
import type { Opening } from "../../src/proxy/viewer-protocol.js";
import { inputMessage, linkMessage } from "../harness/spice-messages.js";
import type { FuzzTarget } from "./fuzz-target.js";
import { spoilt } from "./mutations.js";

type Verdict = Opening["link"] | "refused" | "waits";

/** The verdict on all of the bytes at once, by the protocol's own words. */
function model(bytes: Buffer): Verdict {
  if (!bytes.subarray(0, 4).equals(Buffer.from("REDQ").subarray(0, bytes.length))) return "refused";
  if (bytes.length < 16) return "waits";
  const size = bytes.readUInt32LE(12);
  if (bytes.readUInt32LE(4) !== 2 || size < 18 || size + 16 > MAX_SPICE_LINK_BYTES) return "refused";
  if (bytes.length < 16 + size) return "waits";
  const capabilities = bytes.readUInt32LE(22) + bytes.readUInt32LE(26);
  const offset = bytes.readUInt32LE(30);
  if (capabilities > 0 && (offset < 18 || offset + 4 * capabilities > size)) return "refused";
  return { connectionId: bytes.readUInt32LE(16), type: bytes[20] ?? 0, number: bytes[21] ?? 0 };
}

/** The program's verdict on the bytes in pieces; as many bytes must come out as went in. */
function verdict(bytes: Buffer, sizes: readonly number[]): Verdict {
  const viewer = new SpiceViewer({ viewOnly: false });
  for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
    const end = at + (sizes[turn % sizes.length] ?? 1);
    try {
      const opening = viewer.open(bytes.subarray(at, end));
      if (opening) {
        expect(opening.bytes.equals(bytes.subarray(0, end))).to.equal(true);
        return opening.link;
      }
    } catch (error) {
      expect(reasonOf(error)).to.equal("INVALID_ARGUMENT");
      return "refused";
    }
    expect(viewer.heldBytes).to.be.lessThan(MAX_SPICE_LINK_BYTES);
    at = end;
  }
  return "waits";
}

const u32 = fc.oneof(fc.nat({ max: 40 }), fc.nat({ max: 0xffff_ffff }));
const capabilities = fc.array(u32, { maxLength: 40 });
const byte = fc.nat({ max: 255 });
const link = fc
  .record({ connectionId: u32, type: byte, number: byte, commonCaps: capabilities, channelCaps: capabilities })
  .map(linkMessage);
const bytes = fc.oneof(
  { weight: 4, arbitrary: spoilt(fc.tuple(link, fc.uint8Array()).map((parts) => Buffer.concat(parts))) },
  fc.uint8Array({ maxLength: 6_000 }).map((anything) => Buffer.from(anything)),
);
const sizes = fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 8 });

/** Read in pieces of any size it says what the protocol says of the whole; then any message is a key, or is none. */
export const target: FuzzTarget = {
  runs: 2_000,
  property: fc.property(bytes, sizes, spoilt(byte.map(inputMessage)), (first, pieces, later) => {
    expect(verdict(first, pieces)).to.deep.equal(model(first));
    const viewer = new SpiceViewer({ viewOnly: false });
    viewer.open(linkMessage({ type: 3 }));
    expect(viewer.isInput(later)).to.be.a("boolean");
  }),
};
