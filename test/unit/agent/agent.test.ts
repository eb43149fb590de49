// SPDX-License-Identifier: Apache-2.0
import type { Socket } from "node:net";
import { expect } from "chai";
import { loadAgentConfig } from "../../../agent/agent-config.js";
import { Agent } from "../../../agent/agent.js";
import { silentLog } from "../../../src/lib/log.js";
import { aDomain, uuidOf } from "../../fakes/domains.js";
import type { FakeStream } from "../../fakes/fake-controller.js";
import { FakeController } from "../../fakes/fake-controller.js";
import { FakeLog } from "../../fakes/fake-log.js";
import { FakeHypervisor } from "../../fakes/fake-hypervisor.js";
import { FakeTunnelServer } from "../../fakes/fake-tunnel-server.js";
import { socketPair } from "../../harness/socket-pair.js";
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

  it("warns at every start where it goes to controllers in the clear on its operator's word", async () => {
    const env = { SPICEGATE_AGENT__INSECURE: "true", SPICEGATE_TELEMETRY__LISTEN: "127.0.0.1:0" };
    const log = new FakeLog();
    const insecure = new Agent({ config: loadAgentConfig({ env }), version: "1", log: log.log, hypervisor });
    await insecure.start();
    await insecure.stop();
    expect(log.at("warn")[0]).to.include({ msg: "what goes to controllers is in the clear (agent.insecure)" });
  });

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

  describe("carrying a display", () => {
    let tunnels: FakeTunnelServer;
    let qemu: Socket;

    beforeEach(async () => {
      tunnels = new FakeTunnelServer();
      await tunnels.start();
      const [near, far] = await socketPair();
      qemu = far.resume();
      hypervisor.opener = () => near;
    });

    afterEach(() => {
      qemu.destroy();
      tunnels.stop();
    });

    const openDisplay = (): Parameters<FakeStream["request"]>[0] => ({
      $case: "openDisplay",
      openDisplay: { instanceUuid: uuidOf(1), tunnelAddress: tunnels.address, tunnelSecret: "s" },
    });

    it("replies when the tunnel stands, and shows it in its metrics", async () => {
      const peer = await controller.nextStream();
      expect(await peer.ask(openDisplay())).to.deep.equal({ $case: "displayOpened", displayOpened: {} });
      const { socket } = await tunnels.next();
      socket.write("keys");
      qemu.write("the screen");
      await until("the bytes", () => qemu.bytesRead === 4);
      for (const line of [
        "spicegate_agent_tunnels 1",
        'spicegate_agent_tunnels_opened_total{means="fd"} 1',
        'spicegate_agent_tunnels_opened_total{means="tcp"} 0',
        'spicegate_agent_tunnel_bytes_total{direction="to_controller"} 10',
        'spicegate_agent_tunnel_bytes_total{direction="to_display"} 4',
      ]) {
        expect(await (await get("/metrics")).text()).to.contain(`${line}\n`);
      }
    });

    it("goes on when the control stream breaks, and ends when the agent stops", async () => {
      const peer = await controller.nextStream();
      await peer.ask(openDisplay());
      const { socket } = await tunnels.next();
      controller.stop();
      await until("the loss of the stream", () => !agent.readiness.isReady());
      socket.write("still here");
      await until("the bytes", () => qemu.bytesRead === 10);
      await within("the stop", agent.stop());
      await until("the end of the tunnel", () => qemu.closed && socket.closed);
    });

    it("closes what was opened when the controller cancels meanwhile", async () => {
      tunnels.answer = "nothing";
      const peer = await controller.nextStream();
      const id = peer.request(openDisplay(), 4_000);
      await tunnels.next();
      peer.send({ $case: "cancel", cancel: { id } });
      await until("the end of the display", () => qemu.closed && tunnels.open.size === 0);
    });

    it("closes what was opened when the control stream breaks meanwhile", async () => {
      tunnels.answer = "nothing";
      const peer = await controller.nextStream();
      peer.request(openDisplay(), 4_000);
      await tunnels.next();
      controller.stop();
      await until("the end of the display", () => qemu.closed && tunnels.open.size === 0);
    });

    it("answers before the controller's patience ends", async () => {
      tunnels.answer = "nothing";
      const peer = await controller.nextStream();
      const reply = await peer.reply(peer.request(openDisplay(), 400));
      expect(reply).to.have.property("$case", "failure");
      await until("the end of the display", () => qemu.closed);
    });
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
