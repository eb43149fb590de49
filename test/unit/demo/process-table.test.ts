// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { isAlive, isKeyAlive, ownKey, processesOf, startTicks } from "../../../demo/process-table.js";

describe("process table", () => {
  it("tells a living process from a later one with its pid", () => {
    const ticks = startTicks(process.pid)!;
    expect(isAlive(process.pid)).to.be.true;
    expect(isAlive(process.pid, ticks)).to.be.true;
    expect(isAlive(process.pid, ticks - 1)).to.be.false;
  });

  it("takes a pid that no process can have for dead", () => {
    expect(isAlive(2 ** 22 + 1)).to.be.false;
  });

  it("knows a process by its key, and no process by anything else", () => {
    expect(isKeyAlive(ownKey())).to.be.true;
    const [pid, ticks] = ownKey().split("-");
    for (const key of [`${pid}-${ticks}0`, `${pid}`, "", `${pid}-${ticks}-1`, "zzzzzz-1", "../-1"]) {
      expect(isKeyAlive(key), key).to.be.false;
    }
  });

  it("finds no process for a folder that nobody calls home, and never itself", () => {
    expect(processesOf("/tmp/spicegate-nobody-here")).to.be.empty;
    // Everything lives somewhere below the root.
    expect(processesOf("")).to.not.include(process.pid).and.not.be.empty;
  });
});
