// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { parseDuration } from "../../../src/cli/duration.js";

describe("parseDuration", () => {
  it("takes seconds, minutes, hours and days", () => {
    expect(["90s", "15m", "1h", "30d"].map(parseDuration)).to.deep.equal([90, 900, 3_600, 2_592_000]);
  });

  it("refuses anything else", () => {
    for (const text of ["", "1", "0s", "-1s", "1.5h", "1w", "1 h", "1hh", "s", "9999999999d"]) {
      expect(() => parseDuration(text), text).to.throw(/90s, 15m, 1h, 30d/);
    }
  });
});
