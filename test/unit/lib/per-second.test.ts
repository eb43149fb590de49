// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { PerSecond } from "../../../src/lib/per-second.js";
import { FakeClock } from "../../fakes/fake-clock.js";

describe("PerSecond", () => {
  it("allows so many in a second, and as many in the next", () => {
    const clock = new FakeClock();
    const lines = new PerSecond(2, clock);
    const three = (): boolean[] => [lines.allows(), lines.allows(), lines.allows()];
    expect(three()).to.deep.equal([true, true, false]);
    clock.advance(999);
    expect(lines.allows()).to.equal(false);
    clock.advance(1);
    expect(three()).to.deep.equal([true, true, false]);
  });
});
