// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import fc from "fast-check";
import { SpiceViewer } from "../../../src/proxy/spice-link.js";
import { ViewOnlyFilter } from "../../../src/proxy/view-only-filter.js";
import { inputMessage, linkMessage } from "../../harness/spice-messages.js";

const AUTH_SPICE = 1;
/** Choice of authentication, tickets, short headers. */
const CAPS = (1 << 0) | (1 << 1) | (1 << 3);
const HARMLESS = [1, 2, 3, 6, 101, 104];
const MOUSE_MODE = 105;
const AGENT = [106, 107, 108];
const LINK = linkMessage({ type: 1, commonCaps: [CAPS] });

/** The way to authenticate, and a ticket that looks like messages to the guest's agent. */
function ticket(mechanism = AUTH_SPICE): Buffer {
  const bytes = Buffer.alloc(4 + 128, 107);
  bytes.writeUInt32LE(mechanism, 0);
  return bytes;
}

interface Message {
  readonly type: number;
  readonly body: Uint8Array;
}

function bytesOf({ type, body }: Message): Buffer {
  const header = Buffer.alloc(6);
  header.writeUInt16LE(type, 0);
  header.writeUInt32LE(body.length, 2);
  return Buffer.concat([header, body]);
}

function inPieces(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += pieces.at(-1)?.length ?? 1) {
    pieces.push(bytes.subarray(at, at + (sizes[pieces.length % sizes.length] ?? 1)));
  }
  return pieces;
}

const type = fc.oneof(fc.constantFrom(...HARMLESS, MOUSE_MODE, ...AGENT), fc.nat({ max: 0xffff }));
const messages = fc.array(fc.record({ type, body: fc.uint8Array({ maxLength: 60 }) }), { maxLength: 12 });
const sizes = fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 12 });

describe("ViewOnlyFilter", () => {
  it("passes the ticket and what is harmless, whole and in order, whatever pieces it comes in", () => {
    fc.assert(
      fc.property(messages, sizes, (sent, pieces) => {
        const filter = new ViewOnlyFilter();
        const all = Buffer.concat([ticket(), ...sent.map(bytesOf)]);
        const passed = inPieces(all, pieces).map((piece) => filter.pass(piece));
        const harmless = sent.filter((message) => HARMLESS.includes(message.type));
        expect(Buffer.concat(passed).equals(Buffer.concat([ticket(), ...harmless.map(bytesOf)]))).to.equal(true);
      }),
    );
  });

  it("drops the clipboard, files, the mouse's mode and what nobody knows", () => {
    const filter = new ViewOnlyFilter();
    filter.pass(ticket());
    for (const dropped of [4, 5, 102, 103, MOUSE_MODE, ...AGENT, 109, 110, 111, 112, 113, 0, 0xffff]) {
      expect(filter.pass(inputMessage(dropped)).length, String(dropped)).to.equal(0);
    }
    for (const kept of HARMLESS) expect(filter.pass(inputMessage(kept))).to.deep.equal(inputMessage(kept));
  });

  it("drops a message of any length without keeping it", () => {
    const filter = new ViewOnlyFilter();
    filter.pass(ticket());
    const header = Buffer.alloc(6);
    header.writeUInt16LE(107, 0);
    header.writeUInt32LE(0xffff_ffff, 2);
    expect(filter.pass(header).length).to.equal(0);
    const chunk = Buffer.alloc(1024 * 1024, 1);
    for (let sent = 0; sent < 100; sent += 1) expect(filter.pass(chunk).length).to.equal(0);
  });

  it("takes a client that authenticates by a ticket, and no other", () => {
    for (const mechanism of [0, 2, 107]) {
      expect(() => new ViewOnlyFilter().pass(ticket(mechanism)))
        .to.throw("ticket")
        .with.property("reason", "INVALID_ARGUMENT");
    }
  });
});

describe("SpiceViewer of a console that can only be looked at", () => {
  const open = (link: Buffer, viewOnly = true): Buffer | undefined => new SpiceViewer({ viewOnly }).open(link)?.bytes;
  const agentData = inputMessage(107);

  it("filters the main channel from the link message on, also what comes together with it", () => {
    const viewer = new SpiceViewer({ viewOnly: true });
    const opening = viewer.open(Buffer.concat([LINK, ticket(), agentData, inputMessage(3)]));
    expect(opening?.bytes).to.deep.equal(Buffer.concat([LINK, ticket(), inputMessage(3)]));
    expect(viewer.pass(agentData).length).to.equal(0);
  });

  it("leaves other channels, and consoles that can be touched, as they are", () => {
    const cursor = new SpiceViewer({ viewOnly: true });
    cursor.open(linkMessage({ type: 4 }));
    expect(cursor.pass(agentData)).to.equal(agentData);
    const touched = new SpiceViewer({ viewOnly: false });
    touched.open(LINK);
    expect(touched.pass(agentData)).to.equal(agentData);
  });

  it("lets no client in on the main channel whose messages look different", () => {
    for (const caps of [[], [0], [CAPS & ~1], [CAPS & ~8], [0, CAPS]]) {
      const link = linkMessage({ type: 1, commonCaps: caps });
      expect(() => open(link), JSON.stringify(caps)).to.throw("short headers");
      expect(open(link, false)).to.deep.equal(link);
    }
    expect(() => open(linkMessage({ type: 1, channelCaps: [CAPS] }))).to.throw("short headers");
    expect(open(linkMessage({ type: 1, commonCaps: [CAPS, 7] }))).to.have.length(42);
  });
});
