// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { MAX_QUEUED_BYTES } from "../../../src/lib/limits.js";
import { StreamWriter } from "../../../src/lib/stream-writer.js";

function setUp(): { writer: StreamWriter; taken: (() => void)[]; overflows: () => number } {
  const taken: (() => void)[] = [];
  let overflows = 0;
  const sink = { write: (_message: Buffer, take: () => void) => void taken.push(take) };
  return { writer: new StreamWriter(sink, () => (overflows += 1)), taken, overflows: () => overflows };
}

describe("StreamWriter", () => {
  it("counts what the connection has not taken yet", () => {
    const { writer, taken } = setUp();
    let told = 0;
    writer.write(Buffer.alloc(10), () => (told += 1));
    writer.write(Buffer.alloc(5));
    expect(writer.queuedBytes).to.equal(15);
    taken[0]?.();
    expect(writer.queuedBytes).to.equal(5);
    expect(told).to.equal(1);
  });

  it("gives up a peer that does not read, once, and writes nothing more", () => {
    const { writer, taken, overflows } = setUp();
    writer.write(Buffer.alloc(MAX_QUEUED_BYTES));
    expect(overflows(), "the bound itself is allowed").to.equal(0);
    writer.write(Buffer.alloc(1));
    writer.write(Buffer.alloc(1));
    expect(overflows()).to.equal(1);
    expect(taken).to.have.length(1);
  });

  it("goes on for a peer that reads in time, however much that is", () => {
    const { writer, taken, overflows } = setUp();
    for (let message = 0; message < 3; message += 1) {
      writer.write(Buffer.alloc(MAX_QUEUED_BYTES));
      taken.at(-1)?.();
    }
    expect(overflows()).to.equal(0);
  });

  it("writes and tells nothing after it was closed", () => {
    const { writer, taken } = setUp();
    let told = 0;
    writer.write(Buffer.alloc(1), () => (told += 1));
    writer.close();
    taken[0]?.();
    writer.write(Buffer.alloc(1));
    expect(taken).to.have.length(1);
    expect(told).to.equal(0);
  });
});
