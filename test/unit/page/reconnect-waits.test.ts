// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { reconnectWait } from "../../../src/page/reconnect-waits.js";

describe("reconnectWait", () => {
  it("doubles up to twenty seconds", () => {
    const longest = [1, 2, 3, 4, 5, 6, 7, 50].map((attempt) => reconnectWait(attempt, () => 1));
    expect(longest).to.deep.equal([1_000, 2_000, 4_000, 8_000, 16_000, 20_000, 20_000, 20_000]);
  });

  it("is at least half of that, whatever chance says", () => {
    expect([1, 3, 50].map((attempt) => reconnectWait(attempt, () => 0))).to.deep.equal([500, 2_000, 10_000]);
  });
});
