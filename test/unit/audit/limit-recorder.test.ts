// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import type { Refusal } from "../../../src/audit/audit-log.js";
import { LimitRecorder } from "../../../src/audit/limit-recorder.js";
import { LIMIT_NOTE_INTERVAL_MS } from "../../../src/lib/limits.js";
import { createControllerMetrics } from "../../../src/telemetry/controller-metrics.js";
import { createRegistry } from "../../../src/telemetry/metrics.js";
import { FakeClock } from "../../fakes/fake-clock.js";

describe("LimitRecorder", () => {
  const asker = { clientAddress: "192.0.2.1", requestId: "req-1", caller: { subject: "ann", project: "p" } };
  let clock: FakeClock;
  let refusals: Refusal[];
  let recorder: LimitRecorder;
  let metrics: ReturnType<typeof createControllerMetrics>;

  beforeEach(() => {
    clock = new FakeClock();
    refusals = [];
    metrics = createControllerMetrics(createRegistry());
    recorder = new LimitRecorder({ record: (refusal) => void refusals.push(refusal) }, metrics, clock);
  });

  it("notes who is at a limit, and at which", () => {
    recorder.note("requests_per_caller", "p ann", asker);
    const actor = { subject: "ann", projectId: "p", requestId: "req-1", clientAddress: "192.0.2.1" };
    expect(refusals).to.deep.equal([{ actor, reason: "LIMITED", limit: "requests_per_caller" }]);
  });

  it("counts all, but notes one of the same key and limit a minute", async () => {
    for (let times = 0; times < 1_000; times += 1) recorder.note("requests_per_caller", "p ann", asker);
    recorder.note("requests_per_caller", "p ben", asker);
    recorder.note("sessions_per_address", "p ann", asker);
    expect(refusals).to.have.length(3);
    clock.advance(LIMIT_NOTE_INTERVAL_MS);
    recorder.note("requests_per_caller", "p ann", asker);
    expect(refusals).to.have.length(4);
    const { values } = await metrics.limitsReached.get();
    expect(values.map(({ labels, value }) => [labels.limit, value])).to.deep.equal([
      ["requests_per_caller", 1_002],
      ["sessions_per_address", 1],
    ]);
  });
});
