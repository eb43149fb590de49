// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { FailureLog } from "../../../agent/failure-log.js";
import type { FailureName } from "../../../agent/messages.js";
import { FAILURE_LINES_PER_SECOND } from "../../../src/lib/limits.js";
import { FakeClock } from "../../fakes/fake-clock.js";
import { FakeLog } from "../../fakes/fake-log.js";

describe("FailureLog", () => {
  const clock = new FakeClock();
  let lines: FakeLog;
  let failures: FailureLog;

  beforeEach(() => {
    lines = new FakeLog();
    failures = new FailureLog(lines.log, clock);
    clock.advance(1_000);
  });

  function fail(reason: FailureName = "INSTANCE_NOT_FOUND"): void {
    failures.failed({ operation: "GetSpiceEndpoint", requestId: "req-1", reason, err: new Error("why") });
  }

  it("says what failed, why, and for which request", () => {
    fail();
    expect(lines.at("info")).to.have.length(1);
    expect(lines.at("info")[0]).to.include({
      operation: "GetSpiceEndpoint",
      requestId: "req-1",
      reason: "INSTANCE_NOT_FOUND",
      detail: "why",
    });
  });

  it("shows a fault of the agent as an error with its stack", () => {
    fail("INTERNAL");
    expect(lines.at("error")).to.have.length(1);
    expect(lines.at("error")[0]?.["err"]).to.have.property("stack");
  });

  it("keeps a flood out of the log, and speaks again a second later", () => {
    for (let count = 0; count < FAILURE_LINES_PER_SECOND + 5; count += 1) fail();
    expect(lines.at("info")).to.have.length(FAILURE_LINES_PER_SECOND);
    expect(lines.at("debug")).to.have.length(5);
    clock.advance(1_000);
    fail();
    expect(lines.at("info")).to.have.length(FAILURE_LINES_PER_SECOND + 1);
  });
});
