// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { Pace } from "../../../src/lib/pace.js";
import { FakeClock } from "../../fakes/fake-clock.js";

describe("Pace", () => {
  let clock: FakeClock;

  beforeEach(() => {
    clock = new FakeClock();
  });

  it("lets a burst pass, and has whoever says more rest for as long as that takes", () => {
    const pace = new Pace({ perSecond: 10, burst: 20 }, clock);
    expect(pace.spend(20)).to.equal(0);
    expect(pace.spend(5)).to.equal(500);
    clock.advance(500);
    expect(pace.spend(1)).to.equal(100);
  });

  it("saves up no more than a burst", () => {
    const pace = new Pace({ perSecond: 10, burst: 20 }, clock);
    clock.advance(60_000);
    expect(pace.spend(21)).to.equal(100);
  });

  it("lets everything pass at 0 a second", () => {
    expect(new Pace({ perSecond: 0, burst: 1 }, clock).spend(1_000_000)).to.equal(0);
  });
});
