// SPDX-License-Identifier: Apache-2.0
// What GetSpiceConsole answers when something on the instance's host is not as it should be.
import { expect } from "chai";
import { randomUUID } from "node:crypto";
import { loadAgentConfig } from "../../../agent/agent-config.js";
import { Agent } from "../../../agent/agent.js";
import type { DemoMachine } from "../../../demo/demo-machine.js";
import { defineAndStart } from "../../../demo/demo-machine.js";
import type { PrivateLibvirtd } from "../../../demo/private-libvirtd.js";
import { silentLog } from "../../../src/lib/log.js";
import { aDomain, uuidOf } from "../../fakes/domains.js";
import { FAKE_INFO, FakeHypervisor } from "../../fakes/fake-hypervisor.js";
import { Deployment } from "../../harness/deployment.js";
import { startLibvirtd } from "../../harness/hypervisor.js";
import { host, register } from "../../harness/inventory-calls.js";
import { discardMachines } from "../../harness/machines.js";
import { refuses } from "./situation.js";

describe("GetSpiceConsole and trouble on the host", function () {
  this.timeout(60_000);
  // Its own, since it is stopped and killed.
  let libvirtd: PrivateLibvirtd;
  let deployment: Deployment;
  let disabled: Deployment;
  let machine: DemoMachine;

  before(async () => {
    libvirtd = await startLibvirtd();
    machine = await defineAndStart(libvirtd, { name: "troubled", displays: ["spice-tcp"] });
    const libvirtUri = libvirtd.uri;
    [deployment, disabled] = await Promise.all([
      Deployment.start({ libvirtUri }),
      Deployment.start({ libvirtUri, agent: { spice: { enabled: false } } }),
    ]);
    await Promise.all([deployment.knows(machine.uuid), disabled.knows(machine.uuid)]);
  });
  after(async () => {
    await Promise.all([deployment.stop(), disabled.stop()]);
    await discardMachines(libvirtd, [machine]);
    await libvirtd.stop();
  });

  const notConnected = /^no agent of host host-9 is connected; check spicegate-agent there$/;
  refuses("agent not connected", { answer: "AGENT_UNAVAILABLE", says: notConnected }, async () => {
    const { instanceUuid } = await register(deployment, { instanceUuid: randomUUID(), host: "host-9" });
    const result = await deployment.getConsole(instanceUuid);
    // It takes a few milliseconds; a dead host must not cost a time-out.
    expect(result.ms).to.be.below(1_000);
    return result;
  });

  const silent = /^the agent of host host-1 said nothing for \d+ ms$/;
  refuses("agent silent", { answer: "AGENT_TIMEOUT", says: silent }, async () => {
    deployment.agent?.kill("SIGSTOP");
    try {
      return await deployment.getConsole(machine.uuid);
    } finally {
      deployment.agent?.kill("SIGCONT");
    }
  });

  const off = /switched off on the instance's host \(spice\.enabled\)/;
  refuses("SPICE disabled on the host", { answer: "SPICE_DISABLED", says: off }, () =>
    disabled.getConsole(machine.uuid),
  );

  // Every libvirt here can do SPICE; so it is the agent of this test's own process, whose hypervisor says it cannot.
  refuses("host without SPICE", { answer: "HOST_LACKS_SPICE", says: /was built without SPICE/ }, async () => {
    const hypervisor = new FakeHypervisor();
    hypervisor.setStatus({ available: true, info: { ...FAKE_INFO, spice: false }, detail: "" });
    hypervisor.put(aDomain(1));
    const env = {
      SPICEGATE_AGENT__HOST: "host-2",
      SPICEGATE_AGENT__CONTROLLERS: `["${deployment.agents}"]`,
      SPICEGATE_TELEMETRY__LISTEN: "127.0.0.1:0",
    };
    const agent = new Agent({ config: loadAgentConfig({ env }), version: "0", log: silentLog, hypervisor });
    await agent.start();
    try {
      await deployment.knows(uuidOf(1));
      expect(await host(deployment, "host-2")).to.include({ spice: false, vnc: true });
      return await deployment.getConsole(uuidOf(1));
    } finally {
      await agent.stop();
    }
  });

  const noLibvirt = /^libvirt on the instance's host does not answer; the agent keeps trying$/;
  refuses("libvirt stopped with SIGSTOP", { answer: "HYPERVISOR_UNAVAILABLE", says: noLibvirt }, async () => {
    libvirtd.kill("SIGSTOP");
    try {
      return await deployment.getConsole(machine.uuid);
    } finally {
      libvirtd.kill("SIGCONT");
    }
  });

  refuses("libvirt down", { answer: "HYPERVISOR_UNAVAILABLE", says: noLibvirt }, async () => {
    libvirtd.kill("SIGKILL");
    try {
      await libvirtd.program.ended;
      return await deployment.getConsole(machine.uuid);
    } finally {
      await libvirtd.start();
    }
  });
});
