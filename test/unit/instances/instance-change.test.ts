// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { endByEvent, endBySnapshot, isMove } from "../../../src/instances/instance-change.js";
import type { Instance, PowerState } from "../../../src/instances/instance.js";

const on = (host: string | undefined, powerState?: PowerState): Instance => ({ host, powerState }) as Instance;

describe("endByEvent", () => {
  it("is what the event says of an instance that is still the host's", () => {
    expect(endByEvent("stopped", "a", on("a", "shut-off"))).to.equal("stopped");
    expect(endByEvent("crashed", "a", on("a", "shut-off"))).to.equal("crashed");
    expect(endByEvent("stopped", "a", undefined)).to.equal("stopped");
  });

  it("is nothing where the instance runs elsewhere, or where nothing ended", () => {
    expect(endByEvent("stopped", "a", on("b", "running"))).to.equal(undefined);
    for (const kind of ["migrated", "suspended", "undefined", "started"] as const) {
      expect(endByEvent(kind, "a", on("a"))).to.equal(undefined);
    }
  });
});

describe("endBySnapshot", () => {
  it("is told of what ran and no longer runs", () => {
    expect(endBySnapshot("a", on("a", "running"), on("a", "shut-off"))).to.equal("stopped");
    expect(endBySnapshot("a", on("a", "paused"), on("a", "saved"))).to.equal("stopped");
    expect(endBySnapshot("a", on("a", "suspended"), on("a", "crashed"))).to.equal("crashed");
  });

  it("is not told of what did not run, runs on, is elsewhere or is not known", () => {
    expect(endBySnapshot("a", on("a", "shut-off"), on("a", "shut-off"))).to.equal(undefined);
    expect(endBySnapshot("a", undefined, on("a", "shut-off"))).to.equal(undefined);
    expect(endBySnapshot("a", on("a", "running"), on("a", "paused"))).to.equal(undefined);
    expect(endBySnapshot("a", on("a", "running"), on("b", "shut-off"))).to.equal(undefined);
    expect(endBySnapshot("a", on("a", "running"), on("a"))).to.equal(undefined);
  });
});

describe("isMove", () => {
  it("is a change from one host to another, and nothing else", () => {
    expect(isMove(on("a", "running"), on("b", "running"))).to.equal(true);
    expect(isMove(on("a", "running"), on("a", "paused"))).to.equal(false);
    expect(isMove(undefined, on("b"))).to.equal(false);
    expect(isMove(on(undefined), on("b"))).to.equal(false);
    expect(isMove(on("a"), on(undefined))).to.equal(false);
    expect(isMove(on("a"), undefined)).to.equal(false);
  });
});
