// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { OUTAGE_SETTLES_MS } from "../../../src/lib/limits.js";
import { Outage } from "../../../src/lib/outage.js";
import { FakeClock } from "../../fakes/fake-clock.js";
import { FakeLog } from "../../fakes/fake-log.js";

describe("Outage", () => {
  it("says once that it begins, with the reason, and once that it is over when nobody has failed for a while", () => {
    const [clock, fake] = [new FakeClock(), new FakeLog()];
    const outage = new Outage({ begins: "away", ends: "back", log: fake.log, clock });
    outage.answered();
    for (const reason of ["first", "second"]) outage.failed(new Error(reason));
    clock.advance(OUTAGE_SETTLES_MS - 1);
    outage.answered();
    expect(fake.at("info")).to.deep.equal([]);
    clock.advance(1);
    for (let time = 0; time < 2; time++) outage.answered();
    expect(fake.at("warn")).to.have.length(1);
    expect(fake.at("warn")[0]).to.have.nested.property("err.message", "first");
    expect(fake.at("info").map(({ msg }) => msg)).to.deep.equal(["back"]);
  });
});
