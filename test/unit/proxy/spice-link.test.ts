// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import fc from "fast-check";
import { MAX_SPICE_LINK_BYTES } from "../../../src/lib/limits.js";
import { ServiceError } from "../../../src/lib/service-error.js";
import { SpiceViewer } from "../../../src/proxy/spice-link.js";
import type { Opening } from "../../../src/proxy/viewer-protocol.js";
import type { LinkFields } from "../../harness/spice-messages.js";
import { inputMessage, linkMessage } from "../../harness/spice-messages.js";

/** Feeds the bytes in pieces of the given sizes, again and again, until the viewer has said what it wants. */
function feed(viewer: SpiceViewer, bytes: Buffer, sizes: readonly number[]): Opening | undefined {
  let offset = 0;
  for (let turn = 0; offset < bytes.length; turn += 1) {
    const size = sizes[turn % sizes.length] ?? 1;
    const opening = viewer.open(bytes.subarray(offset, offset + size));
    offset += size;
    if (opening) return { ...opening, bytes: Buffer.concat([opening.bytes, bytes.subarray(offset)]) };
    expect(viewer.heldBytes).to.be.lessThan(MAX_SPICE_LINK_BYTES);
  }
  return undefined;
}

function refusal(bytes: Buffer): unknown {
  try {
    new SpiceViewer({ viewOnly: false }).open(bytes);
  } catch (error) {
    return error;
  }
  return undefined;
}

const u32 = fc.nat({ max: 0xffff_ffff });
const fields: fc.Arbitrary<LinkFields> = fc.record({
  connectionId: u32,
  type: fc.nat({ max: 255 }),
  number: fc.nat({ max: 255 }),
  commonCaps: fc.array(u32, { maxLength: 20 }),
  channelCaps: fc.array(u32, { maxLength: 20 }),
});
const sizes = fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 20 });

describe("SpiceViewer", () => {
  it("reads the link from pieces of any size and hands on every byte as it came", () => {
    const rest = fc.uint8Array({ maxLength: 500 });
    fc.assert(
      fc.property(fields, rest, sizes, (link, more, pieces) => {
        const bytes = Buffer.concat([linkMessage(link), more]);
        const opening = feed(new SpiceViewer({ viewOnly: false }), bytes, pieces);
        const { connectionId, type, number } = link;
        expect(opening?.link).to.deep.equal({ connectionId, type, number });
        expect(opening?.bytes.equals(bytes)).to.equal(true);
      }),
    );
  });

  it("takes any bytes without another error than INVALID_ARGUMENT, and without keeping more than its bound", () => {
    const prefix = fc.constantFrom(Buffer.alloc(0), Buffer.from("REDQ"), linkMessage({}).subarray(0, 16));
    fc.assert(
      fc.property(prefix, fc.uint8Array({ maxLength: 600 }), sizes, (first, garbage, pieces) => {
        try {
          feed(new SpiceViewer({ viewOnly: false }), Buffer.concat([first, garbage]), pieces);
        } catch (error) {
          if (!(error instanceof ServiceError)) throw error;
          expect(error.reason).to.equal("INVALID_ARGUMENT");
        }
      }),
    );
  });

  it("waits while the link may still become one", () => {
    const link = linkMessage({});
    for (let length = 0; length < link.length; length += 1) {
      expect(new SpiceViewer({ viewOnly: false }).open(link.subarray(0, length)), `${length} bytes`).to.equal(
        undefined,
      );
    }
  });

  it("keeps no view of the large buffer that a first piece came in", () => {
    const viewer = new SpiceViewer({ viewOnly: false });
    const chunk = Buffer.concat([linkMessage({}).subarray(0, 10), Buffer.alloc(65_536)]);
    viewer.open(chunk.subarray(0, 10));
    chunk.fill(0);
    expect(viewer.open(linkMessage({ type: 2 }).subarray(10))).to.have.nested.property("link.type", 2);
  });

  it("refuses at the first byte that cannot be SPICE", () => {
    expect(refusal(Buffer.from("G"))).to.have.property("reason", "INVALID_ARGUMENT");
    expect(refusal(Buffer.from("REDX"))).to.have.property("reason", "INVALID_ARGUMENT");
  });

  const wrong: readonly [string, (link: Buffer) => unknown][] = [
    ["another major version", (link) => link.writeUInt32LE(1, 4)],
    ["a size below the message", (link) => link.writeUInt32LE(17, 12)],
    ["a size over the bound", (link) => link.writeUInt32LE(MAX_SPICE_LINK_BYTES - 15, 12)],
    ["capabilities inside the message's fields", (link) => link.writeUInt32LE(17, 32)],
    ["capabilities that end outside", (link) => link.writeUInt32LE(19, 32)],
    ["more capabilities than there is room for", (link) => link.writeUInt32LE(0xffff_ffff, 22)],
  ];
  for (const [what, spoil] of wrong) {
    it(`refuses ${what}`, () => {
      const link = linkMessage({ commonCaps: [1], channelCaps: [2] });
      spoil(link);
      expect(refusal(link)).to.have.property("reason", "INVALID_ARGUMENT");
    });
  }

  it("takes a link as large as its bound", () => {
    const commonCaps = Array.from({ length: 55 }, () => 1);
    expect(new SpiceViewer({ viewOnly: false }).open(linkMessage({ commonCaps }))).to.not.equal(undefined);
  });

  it("sees input in whole messages of keys and mouse on the inputs channel, and nowhere else", () => {
    const inputs = new SpiceViewer({ viewOnly: false });
    inputs.open(linkMessage({ type: 3 }));
    const key = inputMessage(101);
    expect(inputs.isInput(key)).to.equal(true);
    expect(inputs.isInput(Buffer.concat([inputMessage(112), key])), "two in one frame").to.equal(true);
    expect(inputs.isInput(inputMessage(3)), "a pong").to.equal(false);
    expect(inputs.isInput(key.subarray(0, 5)), "no whole header").to.equal(false);
    expect(inputs.isInput(key.subarray(0, -1)), "no whole message, as a password may look").to.equal(false);
    const display = new SpiceViewer({ viewOnly: false });
    display.open(linkMessage({ type: 2 }));
    expect(display.isInput(key)).to.equal(false);
  });
});
