// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import type { DemoMachine } from "../../demo/demo-machine.js";
import { defineAndStart } from "../../demo/demo-machine.js";
import type { ChildProgram } from "../../demo/child-program.js";
import { Deployment } from "../harness/deployment.js";
import { sharedLibvirtd } from "../harness/hypervisor.js";
import { Load } from "../harness/load.js";
import { countTokens } from "../harness/test-database.js";

describe("the agent is killed", function () {
  this.timeout(120_000);
  let deployment: Deployment;
  let agent: ChildProgram;
  let machine: DemoMachine;
  let controllerPid: number;

  before(async () => {
    const libvirtd = await sharedLibvirtd();
    machine = await defineAndStart(libvirtd, { name: "agent-killed", displays: ["spice-tcp"] });
    deployment = await Deployment.start({ libvirtUri: libvirtd.uri, controller: { log: { level: "warn" } } });
    agent = deployment.agent!;
    controllerPid = deployment.controller.pid;
    await deployment.knows(machine.uuid);
  });
  after(() => deployment.stop());

  it("answers AGENT_UNAVAILABLE at once while it is gone, and consoles again when it is back", async () => {
    const load = Load.start(deployment, machine.uuid);
    try {
      for (let round = 0; round < 3; round += 1) {
        await load.recovers();
        agent.kill("SIGKILL");
        await load.sees("AGENT_UNAVAILABLE", 100);
        const refused = await deployment.getConsole(machine.uuid);
        expect(refused.ms, "ms to be refused").to.be.below(1_000);
        expect(refused).to.have.nested.property("failure.retry").that.is.not.undefined;
        await agent.start();
      }
      await load.recovers();
    } finally {
      await load.stop();
    }
    // An agent that has just started is there before its libvirt is.
    await load.endsWithOnly("AGENT_UNAVAILABLE", "HYPERVISOR_UNAVAILABLE");
    expect(deployment.controller.pid).to.equal(controllerPid);
    expect(await countTokens(deployment.databaseUrl)).to.equal(load.count("OK"));
  });

  it("answers AGENT_TIMEOUT while it is frozen, cuts its stream, and lets it in again", async () => {
    const load = Load.start(deployment, machine.uuid);
    const { pid } = agent;
    try {
      await load.recovers();
      agent.kill("SIGSTOP");
      await load.sees("AGENT_TIMEOUT");
      // No keepalive is answered.
      await load.sees("AGENT_UNAVAILABLE");
      agent.kill("SIGCONT");
      await load.recovers();
    } finally {
      agent.kill("SIGCONT");
      await load.stop();
    }
    await load.endsWithOnly("AGENT_TIMEOUT", "AGENT_UNAVAILABLE");
    expect(agent.pid).to.equal(pid);
    expect(deployment.controller.pid).to.equal(controllerPid);
  });
});
