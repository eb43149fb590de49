// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import type { DomainChangeKind, DomainState } from "../../../agent/hypervisor.js";
import { LibvirtHypervisor } from "../../../agent/libvirt/libvirt-hypervisor.js";
import type { DemoMachine } from "../../../demo/demo-machine.js";
import { defineAndStart } from "../../../demo/demo-machine.js";
import type { PrivateLibvirtd } from "../../../demo/private-libvirtd.js";
import { silentLog } from "../../../src/lib/log.js";
import { sharedLibvirtd } from "../../harness/hypervisor.js";
import { untilAvailable } from "../../harness/hypervisor-status.js";

const ASK = { ms: 10_000 };

// Once a domain was seen running its state is not asked for again until libvirt tells something of it.
describe("A domain that was seen running", function () {
  this.timeout(60_000);
  let libvirtd: PrivateLibvirtd;
  let hypervisor: LibvirtHypervisor;
  let machine: DemoMachine;

  before(async () => {
    libvirtd = await sharedLibvirtd();
    machine = await defineAndStart(libvirtd, { name: "seen-running", displays: ["spice-tcp"] });
    hypervisor = new LibvirtHypervisor({ uri: libvirtd.uri, log: silentLog });
    await hypervisor.start();
    await untilAvailable(hypervisor, true, 20_000);
  });
  after(async () => {
    await hypervisor.stop();
    await libvirtd.virsh("undefine", machine.uuid);
  });

  const stateNow = async (): Promise<DomainState> => (await hypervisor.describe(machine.uuid, ASK)).state;

  async function does(command: string, kind: DomainChangeKind): Promise<void> {
    const told = new Promise<void>((resolve) => {
      const forget = hypervisor.onChange((change) => {
        if (change.uuid !== machine.uuid || change.kind !== kind) return;
        forget();
        resolve();
      });
    });
    await libvirtd.virsh(command, machine.uuid);
    await told;
  }

  for (const [command, kind, state] of [
    ["suspend", "suspended", "paused"],
    ["resume", "resumed", "running"],
    ["managedsave", "stopped", "saved"],
    ["start", "started", "running"],
    ["destroy", "stopped", "shut-off"],
  ] as const) {
    it(`is ${state} after ${command}`, async () => {
      await stateNow();
      await stateNow();
      await does(command, kind);
      expect(await stateNow()).to.equal(state);
    });
  }
});
