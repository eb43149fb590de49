// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { changeKind } from "../../../../agent/libvirt/lifecycle-event.js";

describe("changeKind", () => {
  it("translates libvirt's lifecycle events", () => {
    expect([0, 1, 2, 3, 4, 5, 7, 8].map((event) => changeKind(event, 0))).to.deep.equal([
      ...["defined", "undefined", "started", "suspended", "resumed", "stopped", "suspended", "crashed"],
    ]);
  });

  it("tells why a domain stopped", () => {
    expect([0, 1, 2, 3, 4, 5, 6].map((detail) => changeKind(5, detail))).to.deep.equal([
      ...["stopped", "stopped", "crashed", "migrated", "stopped", "crashed", "stopped"],
    ]);
  });

  it("leaves out what another event follows: a guest's halt, and the first half of a rename", () => {
    expect(changeKind(6, 0)).to.equal(undefined);
    expect(changeKind(1, 1)).to.equal(undefined);
    expect(changeKind(0, 2)).to.equal("defined");
  });

  it("leaves out events that are newer than this table", () => {
    expect(changeKind(9, 0)).to.equal(undefined);
  });
});
