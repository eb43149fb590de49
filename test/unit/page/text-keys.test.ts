// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { scanCode } from "../../../src/page/scan-codes.js";
import { strokesOf } from "../../../src/page/text-keys.js";

describe("strokesOf", () => {
  it("types letters by their keys, capital ones with Shift", () => {
    expect(strokesOf("aZ").strokes).to.deep.equal([
      { code: "KeyA", shift: false },
      { code: "KeyZ", shift: true },
    ]);
  });

  it("types every printable ASCII character by a key that exists", () => {
    const ascii = Array.from({ length: 95 }, (_, index) => String.fromCharCode(32 + index));
    const { strokes, untypable } = strokesOf(ascii.join(""));
    expect(untypable).to.deep.equal([]);
    expect(new Set(strokes.map(({ code, shift }) => `${code} ${shift}`)).size).to.equal(95);
    for (const { code } of strokes) expect(scanCode(code), code).to.be.a("number");
  });

  it("knows the pairs that are printed on one key", () => {
    expect(strokesOf("2@").strokes.map(({ code }) => code)).to.deep.equal(["Digit2", "Digit2"]);
    expect(strokesOf("\\|").strokes).to.deep.equal([
      { code: "Backslash", shift: false },
      { code: "Backslash", shift: true },
    ]);
  });

  it("makes one Enter of every kind of line end", () => {
    const codes = strokesOf("\r\n\r\n").strokes.map(({ code }) => code);
    expect(codes).to.deep.equal(["Enter", "Enter"]);
    expect(strokesOf("\n\r\t").strokes.map(({ code }) => code)).to.deep.equal(["Enter", "Enter", "Tab"]);
  });

  it("names what a US keyboard lacks, each once, and types the rest", () => {
    const { strokes, untypable } = strokesOf("é1é😀");
    expect(untypable).to.deep.equal(["é", "😀"]);
    expect(strokes).to.have.length(1);
  });
});
