// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { ReleaseChord } from "../../../src/page/release-chord.js";

function pressed(...codes: string[]): ReleaseChord {
  const chord = new ReleaseChord();
  for (const code of codes) chord.down(code);
  return chord;
}

describe("ReleaseChord", () => {
  it("fires when Ctrl, Alt and Shift were held and one is let go, in any order and on any side", () => {
    expect(pressed("ControlLeft", "AltLeft", "ShiftLeft").up("AltLeft")).to.equal(true);
    expect(pressed("ShiftRight", "ControlRight", "AltLeft").up("ShiftRight")).to.equal(true);
  });

  it("fires once", () => {
    const chord = pressed("ControlLeft", "AltLeft", "ShiftLeft");
    chord.up("ShiftLeft");
    expect(chord.up("AltLeft")).to.equal(false);
  });

  it("does not fire for two of them, nor for both sides of one", () => {
    expect(pressed("ControlLeft", "AltLeft").up("AltLeft")).to.equal(false);
    expect(pressed("ControlLeft", "ControlRight", "AltLeft").up("AltLeft")).to.equal(false);
  });

  it("leaves a combination with another key to the machine", () => {
    expect(pressed("ControlLeft", "AltLeft", "ShiftLeft", "KeyX").up("KeyX")).to.equal(false);
    const chord = pressed("ControlLeft", "AltLeft", "ShiftLeft", "KeyX");
    chord.up("KeyX");
    expect(chord.up("ShiftLeft")).to.equal(false);
  });

  it("is not undone by a key that repeats", () => {
    expect(pressed("ControlLeft", "AltLeft", "ShiftLeft", "ShiftLeft").up("ShiftLeft")).to.equal(true);
  });

  it("does not come back by a repeat after another key", () => {
    expect(pressed("ControlLeft", "AltLeft", "ShiftLeft", "KeyX", "ShiftLeft").up("ShiftLeft")).to.equal(false);
  });

  it("forgets what was held", () => {
    const chord = pressed("ControlLeft", "AltLeft");
    chord.reset();
    chord.down("ShiftLeft");
    expect(chord.up("ShiftLeft")).to.equal(false);
  });
});
