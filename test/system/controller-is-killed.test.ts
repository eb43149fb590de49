// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import type { ChildProgram } from "../../demo/child-program.js";
import type { DemoMachine } from "../../demo/demo-machine.js";
import { defineAndStart } from "../../demo/demo-machine.js";
import { Deployment } from "../harness/deployment.js";
import { sharedLibvirtd } from "../harness/hypervisor.js";
import { Load } from "../harness/load.js";

describe("the controller is killed", function () {
  this.timeout(120_000);
  let deployment: Deployment;
  let controller: ChildProgram;
  let machine: DemoMachine;
  let agentPid: number;

  before(async () => {
    const libvirtd = await sharedLibvirtd();
    machine = await defineAndStart(libvirtd, { name: "controller-killed", displays: ["spice-tcp"] });
    deployment = await Deployment.start({ libvirtUri: libvirtd.uri, controller: { log: { level: "warn" } } });
    controller = deployment.controller;
    agentPid = deployment.agent!.pid;
    await deployment.knows(machine.uuid);
  });
  after(() => deployment.stop());

  it("is UNAVAILABLE to callers while it is gone, and the agent finds it when it is back", async () => {
    const load = Load.start(deployment, machine.uuid);
    try {
      for (let round = 0; round < 2; round += 1) {
        await load.recovers();
        controller.kill("SIGKILL");
        await load.sees("UNAVAILABLE");
        await controller.start();
      }
      await load.recovers();
    } finally {
      await load.stop();
    }
    // A controller that has just started knows the instance from Postgres before its agent is back.
    await load.endsWithOnly("UNAVAILABLE", "AGENT_UNAVAILABLE", "DATABASE_UNAVAILABLE", "INVENTORY_INCOMPLETE");
    expect(deployment.agent!.pid).to.equal(agentPid);
  });

  it("lets no call outlive its deadline while it is frozen, and goes on as if nothing had been", async () => {
    const load = Load.start(deployment, machine.uuid, { ms: 1_000 });
    const { pid } = controller;
    try {
      await load.recovers();
      controller.kill("SIGSTOP");
      await load.sees("DEADLINE_EXCEEDED");
      controller.kill("SIGCONT");
      await load.recovers();
    } finally {
      controller.kill("SIGCONT");
      await load.stop();
    }
    await load.endsWithOnly("DEADLINE_EXCEEDED");
    expect(controller.pid).to.equal(pid);
    expect(deployment.agent!.pid).to.equal(agentPid);
  });
});
