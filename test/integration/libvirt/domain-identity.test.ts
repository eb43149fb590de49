// SPDX-License-Identifier: Apache-2.0
import { randomUUID } from "node:crypto";
import { expect } from "chai";
import { LibvirtHypervisor } from "../../../agent/libvirt/libvirt-hypervisor.js";
import { domainXml } from "../../../demo/demo-machine.js";
import type { PrivateLibvirtd } from "../../../demo/private-libvirtd.js";
import { silentLog } from "../../../src/lib/log.js";
import { reasonOf } from "../../../src/lib/service-error.js";
import { sharedLibvirtd } from "../../harness/hypervisor.js";
import { untilAvailable } from "../../harness/hypervisor-status.js";
import { rejectionOf } from "../../harness/rejection.js";

const ASK = { ms: 10_000 };

describe("A domain's identity", function () {
  this.timeout(60_000);
  const uuid = randomUUID();
  let libvirtd: PrivateLibvirtd;
  let hypervisor: LibvirtHypervisor;

  before(async () => {
    libvirtd = await sharedLibvirtd();
    // One connection, so that it answers every question and knows the domain from before.
    hypervisor = new LibvirtHypervisor({ uri: libvirtd.uri, log: silentLog, readers: 1 });
    await hypervisor.start();
    await untilAvailable(hypervisor, true, 20_000);
  });
  after(async () => {
    await hypervisor.stop();
    await libvirtd.virsh("undefine", uuid);
  });

  const define = (name: string): Promise<void> => libvirtd.define(domainXml({ name, uuid, displays: ["spice-tcp"] }));
  const nameNow = async (): Promise<string> => (await hypervisor.describe(uuid, ASK)).name;

  it("is its uuid: through a new name, its end, and another definition", async () => {
    await define("identity-a");
    expect(await nameNow()).to.equal("identity-a");
    await libvirtd.virsh("domrename", uuid, "identity-b");
    expect(await nameNow()).to.equal("identity-b");
    await libvirtd.virsh("undefine", uuid);
    expect(reasonOf(await rejectionOf(hypervisor.describe(uuid, ASK)))).to.equal("INSTANCE_NOT_FOUND");
    await define("identity-c");
    expect(await nameNow()).to.equal("identity-c");
    expect(await hypervisor.describe(uuid, ASK)).to.include({ state: "shut-off" });
  });
});
