// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { RateLimit } from "../../../src/lib/rate-limit.js";
import { FakeClock } from "../../fakes/fake-clock.js";

const FAR_MORE = 20;

describe("RateLimit", () => {
  let clock: FakeClock;
  const limit = (perSecond: number, burst: number, mostKeys?: number): RateLimit =>
    new RateLimit({ perSecond, burst }, clock, mostKeys);
  const take = (rates: RateLimit, key: string, times: number): number[] =>
    Array.from({ length: times }, () => rates.take(key));

  beforeEach(() => {
    clock = new FakeClock();
  });

  it("gives a burst at once, and then so many a second", () => {
    const rates = limit(10, 3);
    expect(take(rates, "a", 4)).to.deep.equal([0, 0, 0, 100]);
    clock.advance(99);
    expect(rates.take("a")).to.equal(1);
    clock.advance(1);
    expect(take(rates, "a", 2)).to.deep.equal([0, 100]);
  });

  it("gives no more than a burst after a long rest", () => {
    const rates = limit(10, 3);
    take(rates, "a", 3);
    clock.advance(60_000);
    expect(take(rates, "a", 4)).to.deep.equal([0, 0, 0, 100]);
  });

  it("takes nothing for what it refuses, so that who goes on asking does not wait for longer", () => {
    const rates = limit(10, 1);
    expect(take(rates, "a", 5)).to.deep.equal([0, 100, 100, 100, 100]);
  });

  it("counts each key by itself", () => {
    const rates = limit(10, 1);
    expect(take(rates, "a", 2)).to.deep.equal([0, 100]);
    expect(rates.take("b")).to.equal(0);
  });

  it("says how long to wait without taking, and how much of the burst is taken", () => {
    const rates = limit(10, 2);
    expect([rates.wait("a"), rates.taken("a")]).to.deep.equal([0, 0]);
    rates.take("a");
    expect([rates.wait("a"), rates.taken("a")]).to.deep.equal([0, 0.5]);
    rates.take("a");
    expect([rates.wait("a"), rates.taken("a")]).to.deep.equal([100, 1]);
    clock.advance(200);
    expect([rates.wait("a"), rates.taken("a")]).to.deep.equal([0, 0]);
  });

  it("has no limit, and remembers nobody, at 0 a second", () => {
    const rates = limit(0, 1);
    expect(take(rates, "a", 3)).to.deep.equal([0, 0, 0]);
    expect([rates.wait("a"), rates.taken("a"), rates.size]).to.deep.equal([0, 0, 0]);
  });

  it("forgets the keys whose burst is there again", () => {
    const rates = limit(10, 1, 100);
    for (let key = 0; key < 50; key += 1) rates.take(`old ${key}`);
    clock.advance(100);
    for (let key = 0; key < 50; key += 1) rates.take(`new ${key}`);
    expect(rates.size).to.equal(50);
  });

  it("remembers so many keys at most, and those that have taken most, whoever else comes", () => {
    const most = 100;
    const rates = limit(1, 5, most);
    take(rates, "offender", 5);
    for (let key = 0; key < FAR_MORE * most; key += 1) expect(rates.take(`once ${key}`)).to.equal(0);
    expect(rates.size).to.equal(most);
    expect(rates.take("offender")).to.equal(1_000);
  });
});
