// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { loadAgentConfig } from "../../../agent/agent-config.js";
import { Agent } from "../../../agent/agent.js";
import { silentLog } from "../../../src/lib/log.js";
import { aDomain, uuidOf } from "../../fakes/domains.js";
import { FakeController } from "../../fakes/fake-controller.js";
import { FakeHypervisor } from "../../fakes/fake-hypervisor.js";
import { until, within } from "../../harness/within.js";

describe("Agent", () => {
  let controller: FakeController;
  let hypervisor: FakeHypervisor;
  let agent: Agent;

  beforeEach(async () => {
    controller = new FakeController();
    await controller.start();
    hypervisor = new FakeHypervisor();
    hypervisor.put(aDomain(1));
    const env = {
      SPICEGATE_AGENT__HOST: "compute-1",
      SPICEGATE_AGENT__CONTROLLERS: `["${controller.address}"]`,
      SPICEGATE_SPICE__SERVER_PROXYCLIENT_ADDRESS: "192.0.2.9",
      SPICEGATE_TELEMETRY__LISTEN: "127.0.0.1:0",
    };
    agent = new Agent({ config: loadAgentConfig({ env }), version: "9.9.9", log: silentLog, hypervisor });
    await agent.start();
  });

  afterEach(async () => {
    controller.stop();
    await agent.stop();
  });

  async function get(path: string): Promise<Response> {
    return fetch(`http://127.0.0.1:${agent.telemetry.port}${path}`);
  }

  it("serves a controller by its settings and becomes ready", async () => {
    const peer = await controller.nextStream();
    expect(peer.hello).to.include({ host: "compute-1", agentVersion: "9.9.9" });
    const result = await peer.ask({ $case: "getSpiceEndpoint", getSpiceEndpoint: { instanceUuid: uuidOf(1) } });
    expect(result).to.have.nested.property("spiceEndpoint.host", "192.0.2.9");
    await until("readiness", () => agent.readiness.isReady());
    expect((await get("/readyz")).status).to.equal(200);
    const metrics = await (await get("/metrics")).text();
    expect(metrics).to.contain('spicegate_agent_requests_total{operation="GetSpiceEndpoint",outcome="OK"} 1');
    expect(metrics).to.contain("spicegate_agent_hypervisor_up 1");
    expect(metrics).to.contain("spicegate_agent_abandoned_workers 0");
  });

  it("answers what is in flight before the hypervisor stops, and stops twice without harm", async () => {
    const peer = await controller.nextStream();
    await peer.next("inventorySnapshot");
    hypervisor.ignoreNext();
    const id = peer.request({ $case: "getSpiceEndpoint", getSpiceEndpoint: { instanceUuid: uuidOf(1) } }, 800);
    await until("the question", () => hypervisor.open === 1);
    const stopped = Promise.all([agent.stop(), agent.stop()]);
    await peer.next("drain");
    expect(hypervisor.stops).to.equal(0);
    await peer.reply(id);
    await within("the stop", stopped);
    expect(hypervisor.stops).to.equal(1);
  });
});
