// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import type { Outcome } from "../../../src/lib/log-outcome.js";
import { logOutcome } from "../../../src/lib/log-outcome.js";
import { ServiceError } from "../../../src/lib/service-error.js";
import { FakeLog } from "../../fakes/fake-log.js";

describe("logOutcome", () => {
  let log: FakeLog;

  beforeEach(() => {
    log = new FakeLog();
  });

  const write = (outcome: Partial<Outcome>): void =>
    logOutcome(log.log, { what: "call", problem: undefined, seconds: 0.01234, ...outcome }, { method: "m" });

  it("says what was served, in how many milliseconds, and quietly where that is of no interest", () => {
    write({});
    write({ quiet: true });
    write({ left: true });
    expect(log.at("info").map(({ msg }) => msg)).to.deep.equal(["call served", "client left"]);
    expect(log.at("info")[0]).to.include({ method: "m", ms: 12.3 });
    expect(log.at("debug")).to.have.length(1);
  });

  it("says why something was refused, with what is known of it and without the cause, quiet or not", () => {
    const cause = new Error("inside");
    write({ quiet: true, problem: new ServiceError("LIMITED", "too many", { cause, metadata: { host: "h" } }) });
    const [line] = log.at("info");
    expect(line).to.include({ msg: "call refused", detail: "too many", host: "h", method: "m" });
    expect(JSON.stringify(line)).not.to.include("inside");
  });

  it("is quiet about what is written down elsewhere", () => {
    write({ problem: new ServiceError("LIMITED", "too many", { noted: true }) });
    expect(log.at("info")).to.deep.equal([]);
    expect(log.at("debug")).to.have.length(1);
  });

  it("says what failed as an error, with its cause", () => {
    write({ problem: new ServiceError("INTERNAL", "see the log", { cause: new Error("inside") }) });
    const [line] = log.at("error");
    expect(line).to.include({ msg: "call failed", detail: "see the log" });
    expect(JSON.stringify(line)).to.include("inside");
  });
});
