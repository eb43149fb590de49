// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { Readiness } from "../../../src/telemetry/readiness.js";

describe("Readiness", () => {
  it("is ready once every condition holds, and says why not before", () => {
    const readiness = new Readiness(["database", "inventory"]);
    readiness.set("database", true);
    expect(readiness.isReady()).to.equal(false);
    readiness.set("inventory", false, "host a has not reported");
    expect(readiness.conditions()["inventory"]).to.deep.equal({ ok: false, detail: "host a has not reported" });
    readiness.set("inventory", true);
    expect(readiness.isReady()).to.equal(true);
  });

  it("tells changes and nothing else", () => {
    const readiness = new Readiness(["database"]);
    const seen: boolean[] = [];
    const stop = readiness.onChange((ready) => seen.push(ready));
    readiness.set("database", true);
    readiness.set("database", true);
    readiness.set("database", false, "gone");
    stop();
    readiness.set("database", true);
    expect(seen).to.deep.equal([true, false]);
  });
});
