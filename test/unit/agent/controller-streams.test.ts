// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { ControllerStreams } from "../../../agent/controller-streams.js";
import { MAX_MESSAGE_BYTES } from "../../../src/lib/limits.js";
import { Readiness } from "../../../src/telemetry/readiness.js";
import { aDomain, uuidOf } from "../../fakes/domains.js";
import { FakeController } from "../../fakes/fake-controller.js";
import { AgentParts } from "../../harness/agent-parts.js";
import { until, within } from "../../harness/within.js";

describe("ControllerStreams", () => {
  let one: FakeController;
  let other: FakeController;
  let parts: AgentParts;
  let readiness: Readiness;
  let streams: ControllerStreams;

  beforeEach(async () => {
    one = new FakeController();
    other = new FakeController();
    await Promise.all([one.start(), other.start()]);
    parts = new AgentParts();
    parts.hypervisor.put(aDomain(1));
    readiness = new Readiness(["controller"]);
    streams = new ControllerStreams({ addresses: [one.address, other.address], context: parts.context, readiness });
    streams.start();
  });

  afterEach(async () => {
    one.stop();
    other.stop();
    await streams.stop();
    await parts.stop();
  });

  it("tells every controller the same reports with the same numbers", async () => {
    const [a, b] = [await one.nextStream(), await other.nextStream()];
    await Promise.all([a.next("inventorySnapshot"), b.next("inventorySnapshot")]);
    for (const kind of ["suspended", "resumed", "stopped"] as const) {
      parts.hypervisor.emit({ kind, uuid: uuidOf(1), name: "n" });
    }
    await until("the events", () => a.all("domainEvent").length === 3 && b.all("domainEvent").length === 3);
    expect(a.all("domainEvent")).to.deep.equal(b.all("domainEvent"));
    expect(a.hello.processId).to.equal(b.hello.processId);
  });

  it("are ready while at least one is open, and count themselves by state", async () => {
    other.greeting = "nothing";
    await one.nextStream();
    await until("one open stream", () => readiness.isReady());
    one.greeting = "nothing";
    one.streams[0]?.end();
    await until("none", () => !readiness.isReady());
    expect(readiness.conditions()["controller"]).to.deep.equal({ ok: false, detail: "no controller is connected" });
    expect(await parts.metric("streams")).to.equal(2);
    expect(await parts.metric("streams", { state: "open" })).to.equal(0);
  });

  it("do not disturb each other when one controller sends nonsense", async () => {
    const [a, b] = [await one.nextStream(), await other.nextStream()];
    a.sendBytes(Buffer.alloc(MAX_MESSAGE_BYTES + 1));
    await within("the end", a.ended);
    const getSpiceEndpoint = { instanceUuid: uuidOf(1) };
    expect((await b.ask({ $case: "getSpiceEndpoint", getSpiceEndpoint }))?.$case).to.equal("spiceEndpoint");
    expect(other.streams).to.have.length(1);
  });

  it("leave all controllers at once when they stop", async () => {
    const [a, b] = [await one.nextStream(), await other.nextStream()];
    await Promise.all([a.next("inventorySnapshot"), b.next("inventorySnapshot")]);
    await within("the stop", streams.stop());
    await Promise.all([a.next("drain"), b.next("drain")]);
    expect(readiness.isReady()).to.equal(false);
    expect(await parts.metric("streams", { state: "stopped" })).to.equal(2);
  });
});
