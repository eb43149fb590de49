// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { Registry } from "prom-client";
import { ControllerCredentials } from "../../../agent/controller-credentials.js";
import { createAgentMetrics } from "../../../agent/agent-metrics.js";
import { DisplayTunnels } from "../../../agent/display-tunnels.js";
import { FailureLog } from "../../../agent/failure-log.js";
import { createOperations } from "../../../agent/operations.js";
import { RequestHandler } from "../../../agent/request-handler.js";
import type { AgentRequest, Reply } from "../../../proto/gen/spicegate/agent/v1/agent.js";
import { FailureReason } from "../../../proto/gen/spicegate/agent/v1/agent.js";
import { MAX_REQUESTS_PER_AGENT } from "../../../src/lib/limits.js";
import { ServiceError } from "../../../src/lib/service-error.js";
import { aDomain, uuidOf } from "../../fakes/domains.js";
import { FakeClock } from "../../fakes/fake-clock.js";
import { FakeHypervisor } from "../../fakes/fake-hypervisor.js";
import { FakeLog } from "../../fakes/fake-log.js";
import { until } from "../../harness/within.js";

describe("RequestHandler", () => {
  let clock: FakeClock;
  let hypervisor: FakeHypervisor;
  let registry: Registry;
  let lines: FakeLog;
  let replies: Reply[];
  let handler: RequestHandler;

  beforeEach(() => {
    clock = new FakeClock();
    hypervisor = new FakeHypervisor(clock);
    hypervisor.put(aDomain(1));
    registry = new Registry();
    lines = new FakeLog();
    replies = [];
    const settings = { enabled: true, server_proxyclient_address: "127.0.0.1" };
    handler = new RequestHandler({
      perform: createOperations({
        hypervisor,
        settings,
        tunnels: new DisplayTunnels(clock, new ControllerCredentials()),
      }),
      reply: (reply) => replies.push(reply),
      metrics: createAgentMetrics(registry),
      log: lines.log,
      failureLog: new FailureLog(lines.log, clock),
      clock,
    });
  });

  function request(id: number, overrides: Partial<AgentRequest> = {}): AgentRequest {
    const getSpiceEndpoint = { instanceUuid: uuidOf(1) };
    const operation = { $case: "getSpiceEndpoint", getSpiceEndpoint } as const;
    return { id: BigInt(id), timeoutMs: 5_000, requestId: `req-${id}`, operation, ...overrides };
  }

  function reasonOf(reply: Reply | undefined): FailureReason | undefined {
    return reply?.result?.$case === "failure" ? reply.result.failure.reason : undefined;
  }

  async function answered(count: number): Promise<void> {
    await until(`${count} replies`, () => replies.length >= count);
  }

  async function counted(operation: string, outcome: string): Promise<number> {
    const metric = await registry.getSingleMetric("spicegate_agent_requests_total")?.get();
    const sample = metric?.values.find(
      ({ labels }) => labels["operation"] === operation && labels["outcome"] === outcome,
    );
    return sample?.value ?? 0;
  }

  it("answers with the id of the request", async () => {
    handler.accept(request(41));
    await answered(1);
    expect(replies[0]).to.deep.include({ id: 41n });
    expect(replies[0]?.result?.$case).to.equal("spiceEndpoint");
    expect(await counted("GetSpiceEndpoint", "OK")).to.equal(1);
  });

  it("answers a failure with its reason and logs it once, with the request id", async () => {
    const getSpiceEndpoint = { instanceUuid: uuidOf(2) };
    handler.accept(request(1, { operation: { $case: "getSpiceEndpoint", getSpiceEndpoint } }));
    await answered(1);
    expect(reasonOf(replies[0])).to.equal(FailureReason.FAILURE_REASON_INSTANCE_NOT_FOUND);
    expect(lines.at("info")).to.have.length(1);
    expect(lines.at("info")[0]).to.include({ requestId: "req-1", reason: "INSTANCE_NOT_FOUND" });
    expect(await counted("GetSpiceEndpoint", "INSTANCE_NOT_FOUND")).to.equal(1);
  });

  it("says nothing of a success above debug", async () => {
    handler.accept(request(1));
    await answered(1);
    expect(lines.at("info")).to.have.length(0);
    expect(lines.at("debug")[0]).to.include({ requestId: "req-1" });
  });

  it("keeps the words of an unexpected error to its own log", async () => {
    hypervisor.failNext(new ServiceError("INTERNAL", "secret detail"));
    handler.accept(request(1));
    await answered(1);
    expect(reasonOf(replies[0])).to.equal(FailureReason.FAILURE_REASON_INTERNAL);
    expect(JSON.stringify(replies[0]?.result)).to.not.contain("secret detail");
    expect(JSON.stringify(lines.at("error"))).to.contain("secret detail");
  });

  it("answers HYPERVISOR_UNAVAILABLE 300 ms before the controller stops waiting", async () => {
    hypervisor.ignoreNext();
    handler.accept(request(1, { timeoutMs: 2_000 }));
    await until("the question", () => hypervisor.open === 1);
    clock.advance(1_699);
    await Promise.resolve();
    expect(replies).to.have.length(0);
    clock.advance(1);
    await answered(1);
    expect(reasonOf(replies[0])).to.equal(FailureReason.FAILURE_REASON_HYPERVISOR_UNAVAILABLE);
  });

  it("takes half of the time at least where that is short", async () => {
    hypervisor.ignoreNext();
    handler.accept(request(1, { timeoutMs: 200 }));
    await until("the question", () => hypervisor.open === 1);
    clock.advance(99);
    await Promise.resolve();
    expect(replies).to.have.length(0);
    clock.advance(1);
    await answered(1);
    expect(reasonOf(replies[0])).to.equal(FailureReason.FAILURE_REASON_HYPERVISOR_UNAVAILABLE);
  });

  it("never works longer than 5 s less 300 ms, whatever the controller says", async () => {
    hypervisor.ignoreNext();
    handler.accept(request(1, { timeoutMs: 4_000_000_000 }));
    await until("the question", () => hypervisor.open === 1);
    clock.advance(4_700);
    await answered(1);
    expect(reasonOf(replies[0])).to.equal(FailureReason.FAILURE_REASON_HYPERVISOR_UNAVAILABLE);
  });

  it("still answers at once what needs no waiting, however little time there is", async () => {
    handler.accept(request(1, { timeoutMs: 10, operation: undefined }));
    await answered(1);
    expect(reasonOf(replies[0])).to.equal(FailureReason.FAILURE_REASON_UNIMPLEMENTED);
    expect(await counted("unknown", "UNIMPLEMENTED")).to.equal(1);
  });

  it("stops the work on a cancelled request and leaves it unanswered", async () => {
    hypervisor.ignoreNext();
    handler.accept(request(1));
    await until("the question", () => hypervisor.open === 1);
    handler.cancel(1n);
    await until("the end of the work", () => hypervisor.open === 0);
    handler.accept(request(2));
    await answered(1);
    expect(replies.map(({ id }) => id)).to.deep.equal([2n]);
    expect(await counted("GetSpiceEndpoint", "CANCELLED")).to.equal(1);
  });

  it("ignores a cancel for an id that is unknown or answered", async () => {
    handler.accept(request(1));
    await answered(1);
    handler.cancel(1n);
    handler.cancel(99n);
    expect(replies).to.have.length(1);
  });

  it("answers LIMITED to what comes on top of 256 in flight, and takes more when one has ended", async () => {
    for (let id = 1; id <= MAX_REQUESTS_PER_AGENT; id += 1) {
      hypervisor.ignoreNext();
      handler.accept(request(id));
    }
    handler.accept(request(1_000));
    expect(replies.map(reasonOf)).to.deep.equal([FailureReason.FAILURE_REASON_LIMITED]);
    expect(replies[0]?.id).to.equal(1_000n);
    handler.cancel(1n);
    await until("room", () => hypervisor.open < MAX_REQUESTS_PER_AGENT);
    await until("an answer", () => {
      if (replies.length < 2) handler.accept(request(1_001 + replies.length));
      return replies.some(({ result }) => result?.$case === "spiceEndpoint");
    });
    handler.cancelAll();
    await handler.idle();
  });

  it("does not take an id that is in flight a second time", async () => {
    hypervisor.ignoreNext();
    expect(handler.accept(request(1))).to.equal(true);
    expect(handler.accept(request(1))).to.equal(false);
    handler.cancelAll();
    await handler.idle();
    expect(replies).to.have.length(0);
  });

  it("refuses new requests while it drains, and is idle when the old ones have ended", async () => {
    hypervisor.ignoreNext();
    handler.accept(request(1, { timeoutMs: 1_000 }));
    handler.refuseNew();
    handler.accept(request(2));
    expect(reasonOf(replies[0])).to.equal(FailureReason.FAILURE_REASON_DRAINING);
    let idle = false;
    const waiting = handler.idle().then(() => (idle = true));
    await until("the question", () => hypervisor.open === 1);
    expect(idle).to.equal(false);
    clock.advance(700);
    await waiting;
    expect(replies.map(({ id }) => id)).to.deep.equal([2n, 1n]);
  });
});
