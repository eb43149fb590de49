// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { domainState, isOff } from "../../../../agent/libvirt/domain-state.js";

describe("domainState", () => {
  it("takes running and blocked for running", () => {
    expect([1, 2].map((state) => domainState(state, 1, false))).to.deep.equal(["running", "running"]);
  });

  it("takes every pause for one, except where the guest is or will be on another host", () => {
    for (let reason = 0; reason <= 13; reason += 1) {
      const expected = [2, 11, 12].includes(reason) ? "incoming" : "paused";
      expect(domainState(3, reason, false), `reason ${reason}`).to.equal(expected);
    }
  });

  it("tells saved from off by the reason or by the image", () => {
    expect(domainState(5, 1, false)).to.equal("shut-off");
    expect(domainState(5, 5, false)).to.equal("saved");
    expect(domainState(5, 0, true)).to.equal("saved");
    expect(domainState(4, 0, false)).to.equal("shut-off");
  });

  it("knows crashed and suspended, and does not guess", () => {
    expect([6, 7, 0, 8, -1].map((state) => domainState(state, 0, false))).to.deep.equal([
      ...["crashed", "suspended", "unknown", "unknown", "unknown"],
    ]);
  });
});

describe("isOff", () => {
  it("is true only where no hypervisor process is left, or will be soon", () => {
    expect([0, 1, 2, 3, 4, 5, 6, 7].filter(isOff)).to.deep.equal([4, 5]);
  });
});
