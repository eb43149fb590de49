// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { Batches } from "../../../src/db/batches.js";
import { MAX_BATCH, MAX_BATCHES_AT_ONCE, MAX_WAITING_FOR_BATCH } from "../../../src/lib/limits.js";
import { rejectionOf } from "../../harness/rejection.js";

interface Run {
  readonly requests: readonly number[];
  readonly resolve: (answers: readonly string[]) => void;
  readonly reject: (error: Error) => void;
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function setUp(): { batches: Batches<number, string>; runs: Run[] } {
  const runs: Run[] = [];
  const batches = new Batches<number, string>(
    (requests) => new Promise((resolve, reject) => runs.push({ requests, resolve, reject })),
  );
  return { batches, runs };
}

const answer = ({ requests, resolve }: Run): void => resolve(requests.map((request) => `answer ${request}`));

describe("Batches", () => {
  it("sends a request alone and at once while little is under way", async () => {
    const { batches, runs } = setUp();
    const one = batches.add(1);
    expect(runs.map(({ requests }) => requests)).to.deep.equal([[1]]);
    runs.forEach(answer);
    expect(await one).to.equal("answer 1");
  });

  it("sends those that come meanwhile together, and gives each its own answer", async () => {
    const { batches, runs } = setUp();
    const all = Array.from({ length: MAX_BATCHES_AT_ONCE + 3 }, (_, index) => batches.add(index));
    expect(runs).to.have.length(MAX_BATCHES_AT_ONCE);
    runs.slice().forEach(answer);
    await settled();
    expect(runs.at(-1)?.requests).to.have.length(3);
    runs.slice(MAX_BATCHES_AT_ONCE).forEach(answer);
    expect(await Promise.all(all)).to.deep.equal(all.map((_, index) => `answer ${index}`));
  });

  it("sends no more than a batch holds", async () => {
    const { batches, runs } = setUp();
    const all = Array.from({ length: MAX_BATCHES_AT_ONCE + MAX_BATCH + 1 }, (_, index) => batches.add(index));
    for (let sent = 0; sent < runs.length; sent += 1) {
      const run = runs[sent];
      if (run) answer(run);
      await settled();
    }
    expect(Math.max(...runs.map(({ requests }) => requests.length))).to.equal(MAX_BATCH);
    expect(await Promise.all(all)).to.have.length(all.length);
  });

  it("fails everybody in a batch that fails, and nobody else", async () => {
    const { batches, runs } = setUp();
    const [first, second] = [batches.add(1), batches.add(2)];
    runs[0]?.reject(new Error("lost"));
    if (runs[1]) answer(runs[1]);
    expect((await rejectionOf(first)).message).to.equal("lost");
    expect(await second).to.equal("answer 2");
    const third = batches.add(3);
    if (runs[2]) answer(runs[2]);
    expect(await third, "it goes on").to.equal("answer 3");
  });

  it("refuses with DATABASE_UNAVAILABLE when too many wait", async () => {
    const { batches, runs } = setUp();
    const all = Array.from({ length: MAX_BATCHES_AT_ONCE + MAX_WAITING_FOR_BATCH }, (_, index) => batches.add(index));
    expect(await rejectionOf(batches.add(-1))).to.have.property("reason", "DATABASE_UNAVAILABLE");
    for (let sent = 0; sent < runs.length; sent += 1) {
      const run = runs[sent];
      if (run) answer(run);
      await settled();
    }
    expect(await Promise.all(all)).to.have.length(all.length);
  });
});
