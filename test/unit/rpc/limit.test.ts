// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import type { Asker } from "../../../src/rpc/limit.js";
import { Limit } from "../../../src/rpc/limit.js";
import { ServiceError } from "../../../src/lib/service-error.js";
import { FakeClock } from "../../fakes/fake-clock.js";

const HERE: Asker = { clientAddress: "192.0.2.1", requestId: "req-1" };
const FREE: Asker = { clientAddress: "free", requestId: "req-2" };

describe("Limit", () => {
  let clock: FakeClock;
  let notes: string[][];
  let limit: Limit;

  beforeEach(() => {
    clock = new FakeClock();
    notes = [];
    limit = new Limit({
      name: "requests_per_address",
      what: "requests from this address",
      rate: { perSecond: 0.5, burst: 4 },
      keyOf: ({ clientAddress }) => (clientAddress === "free" ? undefined : `key of ${clientAddress}`),
      notes: { note: (name, key, { requestId }) => void notes.push([name, key, requestId]) },
      clock,
    });
  });

  function refusal(act: () => void): ServiceError {
    try {
      act();
    } catch (error) {
      if (error instanceof ServiceError) return error;
    }
    throw new Error("nothing was refused");
  }
  const takeAll = (): void => {
    for (let taken = 0; taken < 4; taken += 1) limit.take(HERE);
  };

  it("refuses with LIMITED, which limit it is, and when to come again", () => {
    takeAll();
    const error = refusal(() => limit.take(HERE));
    expect(error.reason).to.equal("LIMITED");
    expect(error.message).to.equal("too many requests from this address; try again in 2 s");
    expect(error.metadata).to.deep.equal({ limit: "requests_per_address" });
    expect([error.retryMs, error.noted]).to.deep.equal([2_000, true]);
    clock.advance(2_000);
    limit.take(HERE);
  });

  it("has what it refuses noted, and nothing else", () => {
    takeAll();
    expect(notes).to.deep.equal([]);
    refusal(() => limit.take(HERE));
    expect(notes).to.deep.equal([["requests_per_address", "key of 192.0.2.1", "req-1"]]);
  });

  it("can be asked without being counted", () => {
    for (let asked = 0; asked < 10; asked += 1) limit.require(HERE);
    takeAll();
    expect(refusal(() => limit.require(HERE)).retryMs).to.equal(2_000);
  });

  it("knows who has taken more than half", () => {
    for (let taken = 0; taken < 2; taken += 1) limit.take(HERE);
    expect(limit.keyOfBusy(HERE)).to.equal(undefined);
    limit.take(HERE);
    expect(limit.keyOfBusy(HERE)).to.equal("key of 192.0.2.1");
  });

  it("leaves alone who is not limited", () => {
    for (let taken = 0; taken < 10; taken += 1) limit.take(FREE);
    limit.require(FREE);
    expect(limit.keyOfBusy(FREE)).to.equal(undefined);
  });
});
