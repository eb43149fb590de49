// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import type { DemoMachine } from "../../demo/demo-machine.js";
import { defineAndStart } from "../../demo/demo-machine.js";
import type { PrivateLibvirtd } from "../../demo/private-libvirtd.js";
import { processesOf } from "../../demo/process-table.js";
import { Deployment } from "../harness/deployment.js";
import { startLibvirtd } from "../harness/hypervisor.js";
import { Load } from "../harness/load.js";
import { countTokens } from "../harness/test-database.js";

describe("libvirtd is killed", function () {
  this.timeout(120_000);
  let libvirtd: PrivateLibvirtd;
  let deployment: Deployment;
  let machine: DemoMachine;
  let pids: readonly number[];
  const ourPids = (): readonly number[] => [deployment.controller.pid, deployment.agent!.pid];

  before(async () => {
    libvirtd = await startLibvirtd();
    machine = await defineAndStart(libvirtd, { name: "libvirtd-killed", displays: ["spice-tcp"] });
    deployment = await Deployment.start({ libvirtUri: libvirtd.uri, controller: { log: { level: "warn" } } });
    pids = ourPids();
    await deployment.knows(machine.uuid);
  });
  after(async () => {
    await deployment.stop();
    await libvirtd.stop();
  });

  it("answers HYPERVISOR_UNAVAILABLE while it is gone, and consoles of the same guest when it is back", async () => {
    const guest = processesOf(libvirtd.folder).filter((pid) => pid !== libvirtd.pid);
    const load = Load.start(deployment, machine.uuid);
    try {
      for (let round = 0; round < 2; round += 1) {
        await load.recovers();
        libvirtd.kill("SIGKILL");
        await load.sees("HYPERVISOR_UNAVAILABLE", 50);
        await libvirtd.start();
      }
      await load.recovers();
    } finally {
      await load.stop();
    }
    await load.endsWithOnly("HYPERVISOR_UNAVAILABLE");
    expect(ourPids()).to.deep.equal(pids);
    expect(processesOf(libvirtd.folder)).to.include.members(guest);
    expect((await libvirtd.virsh("domstate", machine.uuid)).trim()).to.equal("running");
    expect(await countTokens(deployment.databaseUrl)).to.equal(load.count("OK"));
  });

  it("answers HYPERVISOR_UNAVAILABLE while it is frozen, within the deadline, and recovers", async () => {
    const load = Load.start(deployment, machine.uuid);
    const { pid } = libvirtd;
    try {
      await load.recovers();
      libvirtd.kill("SIGSTOP");
      await load.sees("HYPERVISOR_UNAVAILABLE", 32);
      libvirtd.kill("SIGCONT");
      await load.recovers();
    } finally {
      libvirtd.kill("SIGCONT");
      await load.stop();
    }
    await load.endsWithOnly("HYPERVISOR_UNAVAILABLE");
    expect([libvirtd.pid, ...ourPids()]).to.deep.equal([pid, ...pids]);
  });
});
