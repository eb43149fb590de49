// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { KEY_COMBINATIONS } from "../../../src/page/key-combinations.js";
import { scanCode, wireCode } from "../../../src/page/scan-codes.js";

/** The bytes that the keyboard of the machine gets, in order. */
function bytes(code: string, down: boolean): number[] {
  const sent: number[] = [];
  for (let rest = wireCode(scanCode(code)!, down); rest > 0; rest = Math.floor(rest / 256)) sent.push(rest % 256);
  return sent;
}

describe("scan codes", () => {
  it("are those of a PC keyboard, the first and last of every row", () => {
    const expected = {
      Escape: 0x01,
      Backspace: 0x0e,
      Tab: 0x0f,
      ControlLeft: 0x1d,
      KeyA: 0x1e,
      ShiftLeft: 0x2a,
      Backslash: 0x2b,
      KeyZ: 0x2c,
      ShiftRight: 0x36,
      AltLeft: 0x38,
      CapsLock: 0x3a,
      F1: 0x3b,
      F10: 0x44,
      NumpadSubtract: 0x4a,
      Numpad4: 0x4b,
      NumpadDecimal: 0x53,
      IntlBackslash: 0x56,
      F12: 0x58,
    };
    for (const [code, scan] of Object.entries(expected)) expect(scanCode(code), code).to.equal(scan);
  });

  it("give no two keys the same code", () => {
    const codes = [
      "Enter",
      "NumpadEnter",
      "ControlRight",
      "AltRight",
      "Home",
      "Delete",
      "Insert",
      "Slash",
      "NumpadDivide",
    ];
    expect(new Set(codes.map(scanCode)).size).to.equal(codes.length);
  });

  it("set the highest bit when a key is let go", () => {
    expect(bytes("KeyA", true)).to.deep.equal([0x1e]);
    expect(bytes("KeyA", false)).to.deep.equal([0x9e]);
  });

  it("put the prefix of an extended key first", () => {
    expect(bytes("Delete", true)).to.deep.equal([0xe0, 0x53]);
    expect(bytes("Delete", false)).to.deep.equal([0xe0, 0xd3]);
    expect(bytes("PageDown", true)).to.deep.equal([0xe0, 0x51]);
    expect(bytes("MetaRight", true)).to.deep.equal([0xe0, 0x5c]);
  });

  it("know the six bytes of Pause", () => {
    const all = [...bytes("Pause", true), ...bytes("Pause", false)];
    expect(all).to.deep.equal([0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5]);
  });

  it("have none for keys that no PC keyboard has", () => {
    for (const code of ["", "Unidentified", "BrowserHome"]) expect(scanCode(code)).to.equal(undefined);
  });

  it("exist for every key of the menu's combinations", () => {
    for (const { codes, label } of KEY_COMBINATIONS.flat()) {
      for (const code of codes) expect(scanCode(code), label).to.be.a("number");
    }
  });
});
