// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { AgentPace } from "../../../src/api/agent-pace.js";
import { AGENT_BURST_S, AGENT_MESSAGE_UNIT_BYTES, LIMIT_NOTE_INTERVAL_MS } from "../../../src/lib/limits.js";
import { createControllerMetrics } from "../../../src/telemetry/controller-metrics.js";
import { createRegistry } from "../../../src/telemetry/metrics.js";
import { FakeClock } from "../../fakes/fake-clock.js";
import { FakeLog } from "../../fakes/fake-log.js";

const PER_SECOND = 100;
const BURST = PER_SECOND * AGENT_BURST_S;

describe("AgentPace", () => {
  let clock: FakeClock;
  let log: FakeLog;
  let reading: boolean;
  let pace: AgentPace;
  let metrics: ReturnType<typeof createControllerMetrics>;

  beforeEach(() => {
    clock = new FakeClock();
    log = new FakeLog();
    reading = true;
    metrics = createControllerMetrics(createRegistry());
    const call = { pause: () => (reading = false), resume: () => (reading = true), getPeer: () => "192.0.2.1:1" };
    pace = new AgentPace({ call, messagesPerSecond: PER_SECOND, log: log.log, metrics, clock });
  });

  function receive(count: number, bytes = 10): void {
    for (let received = 0; received < count; received += 1) pace.received(bytes);
  }

  it("reads a storm without a rest", () => {
    receive(BURST);
    expect(reading).to.equal(true);
  });

  it("rests for as long as what came too much would have taken", () => {
    receive(BURST + PER_SECOND);
    expect(reading).to.equal(false);
    clock.advance(999);
    expect(reading).to.equal(false);
    clock.advance(1);
    expect(reading).to.equal(true);
    expect(clock.waiting).to.equal(0);
  });

  it("counts a large message as several", () => {
    receive(BURST / 100, 100 * AGENT_MESSAGE_UNIT_BYTES);
    expect(reading).to.equal(true);
    receive(1, 100 * AGENT_MESSAGE_UNIT_BYTES);
    clock.advance(999);
    expect(reading).to.equal(false);
    clock.advance(1);
    expect(reading).to.equal(true);
  });

  it("counts each rest, and writes one line a minute", async () => {
    receive(BURST + 10);
    expect(log.at("warn")).to.have.length(1);
    expect(log.at("warn")[0]).to.include({ peer: "192.0.2.1:1", limit: "agent_messages" });
    clock.advance(LIMIT_NOTE_INTERVAL_MS);
    receive(BURST + 1);
    expect(log.at("warn")).to.have.length(2);
    const { values } = await metrics.limitsReached.get();
    expect(values.map(({ labels, value }) => [labels.limit, value])).to.deep.equal([["agent_messages", 11]]);
  });

  it("leaves no timer behind", () => {
    receive(BURST + 1);
    pace.stop();
    expect(clock.waiting).to.equal(0);
    pace.stop();
  });
});
