// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { isWhole, scaleFactor } from "../../../src/page/scale.js";

const PICTURE = { width: 720, height: 400 };

describe("scaleFactor", () => {
  it("fits the tighter side, up and down", () => {
    expect(scaleFactor("fit", PICTURE, { width: 1440, height: 8_000 })).to.equal(2);
    expect(scaleFactor("fit", PICTURE, { width: 8_000, height: 200 })).to.equal(0.5);
  });

  it("is one for the actual size", () => {
    expect(scaleFactor("actual", PICTURE, { width: 10, height: 10 })).to.equal(1);
  });

  it("is one while there is no room, or no picture", () => {
    expect(scaleFactor("fit", PICTURE, { width: 0, height: 0 })).to.equal(1);
    expect(scaleFactor("fit", { width: 0, height: 0 }, { width: 10, height: 10 })).to.equal(1);
  });
});

describe("isWhole", () => {
  it("counts the display's pixels, not the page's", () => {
    expect(isWhole(1, 1)).to.equal(true);
    expect(isWhole(1.5, 2)).to.equal(true);
    expect(isWhole(1.5, 1)).to.equal(false);
    expect(isWhole(1, 1.25)).to.equal(false);
  });

  it("is false for a picture made smaller", () => {
    expect(isWhole(0.5, 1)).to.equal(false);
    expect(isWhole(0, 1)).to.equal(false);
  });
});
