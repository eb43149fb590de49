// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { ExpiringCache } from "../../../src/identity/expiring-cache.js";
import { FakeClock } from "../../fakes/fake-clock.js";

describe("ExpiringCache", () => {
  it("keeps each value for its time", () => {
    const clock = new FakeClock();
    const cache = new ExpiringCache<string>(10, clock);
    cache.set("a", "first", 100);
    cache.set("b", "second", 200);
    clock.advance(99);
    expect(cache.get("a")).to.equal("first");
    clock.advance(1);
    expect([cache.get("a"), cache.get("b")]).to.deep.equal([undefined, "second"]);
    expect(cache.size).to.equal(1);
  });

  it("lets a new value take the place of an old one, with its own time", () => {
    const clock = new FakeClock();
    const cache = new ExpiringCache<string>(10, clock);
    cache.set("a", "first", 100);
    cache.set("a", "second", 200);
    clock.advance(150);
    expect(cache.get("a")).to.equal("second");
    cache.set("a", "third", 0);
    expect(cache.get("a")).to.equal(undefined);
  });

  it("holds no more than it may, and drops what came first", () => {
    const cache = new ExpiringCache<number>(2, new FakeClock());
    for (const [index, key] of ["a", "b", "a", "c"].entries()) cache.set(key, index, 100);
    expect(["a", "b", "c"].map((key) => cache.get(key))).to.deep.equal([2, undefined, 3]);
    expect(cache.size).to.equal(2);
  });

  it("forgets one value, or all of them, when told", () => {
    const cache = new ExpiringCache<number>(3, new FakeClock());
    for (const [key, value] of [
      ["a", 1],
      ["b", 2],
      ["c", 3],
    ] as const)
      cache.set(key, value, 10);
    cache.delete("a");
    expect([cache.get("a"), cache.get("b")]).to.deep.equal([undefined, 2]);
    cache.clear();
    expect(cache.size).to.equal(0);
  });
});
