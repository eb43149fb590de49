// SPDX-License-Identifier: Apache-2.0
import { randomUUID } from "node:crypto";
import { readdirSync } from "node:fs";
import { expect } from "chai";
import type { DomainChange } from "../../../agent/hypervisor.js";
import { LibvirtHypervisor } from "../../../agent/libvirt/libvirt-hypervisor.js";
import { defineAndStart } from "../../../demo/demo-machine.js";
import { PrivateLibvirtd } from "../../../demo/private-libvirtd.js";
import { waitUntil } from "../../../demo/wait-until.js";
import { LIBVIRT_CALL_MS, LIBVIRT_REOPEN_MS, STOP_STEP_MS } from "../../../src/lib/limits.js";
import { silentLog } from "../../../src/lib/log.js";
import { reasonOf } from "../../../src/lib/service-error.js";
import { FakeLog } from "../../fakes/fake-log.js";
import { untilAvailable } from "../../harness/hypervisor-status.js";
import { qemuPid } from "../../harness/qemu-pid.js";
import { rejectionOf } from "../../harness/rejection.js";

const SOON_MS = 1_000;
const RECOVERY_MS = 30_000;
const ASK = { ms: LIBVIRT_CALL_MS };

describe("LibvirtHypervisor with a real libvirtd", function () {
  this.timeout(90_000);
  const libvirtd = new PrivateLibvirtd();
  const uuid = randomUUID();
  let hypervisor: LibvirtHypervisor;
  let changes: DomainChange[];

  before(async () => {
    await libvirtd.start();
    await defineAndStart(libvirtd, { name: "faults", uuid, displays: ["spice-none", "vnc-tcp"] });
  });

  after(() => libvirtd.stop());

  beforeEach(async () => {
    hypervisor = new LibvirtHypervisor({ uri: libvirtd.uri, log: silentLog });
    changes = [];
    hypervisor.onChange((change) => changes.push(change));
    await hypervisor.start();
    await untilAvailable(hypervisor, true, RECOVERY_MS);
  });

  afterEach(async () => {
    libvirtd.kill("SIGCONT");
    await hypervisor.stop();
    expect(hypervisor.abandonedWorkers, "no worker was given up").to.equal(0);
  });

  const seen = (...kinds: string[]): Promise<void> =>
    waitUntil(() => kinds.every((kind) => changes.some((change) => change.kind === kind)), {
      ms: RECOVERY_MS,
      what: `events ${kinds.join(", ")}`,
    });

  it("tells versions and that QEMU has SPICE", () => {
    const info = hypervisor.status().info;
    expect(info?.libvirtVersion).to.match(/^\d+\.\d+\.\d+$/);
    expect(info?.hypervisorVersion).to.match(/^\d+\.\d+\.\d+$/);
    expect(info).to.include({ spice: true, vnc: true });
  });

  it("describes a running machine, and refuses one that does not exist", async () => {
    const domain = await hypervisor.describe(uuid, ASK);
    expect(domain).to.include({ uuid, name: "faults", state: "running" });
    expect(domain.displays[0]).to.deep.equal({ kind: "spice", listen: "none" });
    expect(domain.displays[1]).to.include({ kind: "vnc", listen: "address" });
    expect(domain.displays[1]?.port).to.be.a("number");
    const error = await rejectionOf(hypervisor.describe(randomUUID(), ASK));
    expect(reasonOf(error)).to.equal("INSTANCE_NOT_FOUND");
  });

  it("tells what happens to a machine, in libvirt's order", async () => {
    const other = randomUUID();
    await defineAndStart(libvirtd, { name: "events", uuid: other, displays: [] });
    await libvirtd.virsh("suspend", other);
    expect((await hypervisor.describe(other, ASK)).state).to.equal("paused");
    await libvirtd.virsh("resume", other);
    await libvirtd.virsh("destroy", other);
    expect((await hypervisor.describe(other, ASK)).state).to.equal("shut-off");
    await libvirtd.virsh("undefine", other);
    await seen("undefined");
    // libvirt tells that the guest's processors go on before it tells that the guest was started.
    expect(changes.map(({ kind }) => kind)).to.deep.equal([
      ...["defined", "resumed", "started", "suspended", "resumed", "stopped", "undefined"],
    ]);
    expect(changes[0]).to.deep.equal({ kind: "defined", uuid: other, name: "events" });
  });

  it("tells a saved machine from one that is off, also after libvirtd has restarted", async () => {
    const saved = randomUUID();
    await defineAndStart(libvirtd, { name: "saved", uuid: saved, displays: [] });
    await libvirtd.virsh("managedsave", saved);
    libvirtd.kill("SIGKILL");
    await untilAvailable(hypervisor, false, SOON_MS);
    await libvirtd.start();
    await untilAvailable(hypervisor, true, RECOVERY_MS);
    expect((await hypervisor.describe(saved, ASK)).state).to.equal("saved");
    await libvirtd.virsh("undefine", "--managed-save", saved);
  });

  it("notices a killed libvirtd at once and finds it again, events included", async () => {
    for (let round = 0; round < 3; round += 1) {
      libvirtd.kill("SIGKILL");
      await untilAvailable(hypervisor, false, SOON_MS);
      const asked = performance.now();
      expect(reasonOf(await rejectionOf(hypervisor.describe(uuid, ASK)))).to.equal("HYPERVISOR_UNAVAILABLE");
      expect(performance.now() - asked, "answered at once").to.be.lessThan(SOON_MS);
      await libvirtd.start();
      await untilAvailable(hypervisor, true, RECOVERY_MS);
      // Enough questions for every connection: none of the old ones may be left.
      const domains = await Promise.all(Array.from({ length: 8 }, () => hypervisor.describe(uuid, ASK)));
      expect(
        domains.every(({ state }) => state === "running"),
        "the guest outlives libvirtd",
      ).to.equal(true);
      const displays = await Promise.all(Array.from({ length: 4 }, () => hypervisor.openDisplay(uuid, 0, ASK)));
      for (const display of displays) display?.destroy();
    }
    changes.length = 0;
    await libvirtd.virsh("suspend", uuid);
    await libvirtd.virsh("resume", uuid);
    await seen("suspended", "resumed");
    const sockets = readdirSync("/proc/self/fd").length;
    expect(sockets, "sockets of lost connections are closed").to.be.lessThan(100);
  });

  it("answers at the deadline while libvirtd is stopped, and recovers when it goes on", async () => {
    libvirtd.kill("SIGSTOP");
    const begun = performance.now();
    const questions = Array.from({ length: 5 }, () => rejectionOf(hypervisor.describe(uuid, { ms: 500 })));
    const all = rejectionOf(hypervisor.describeAll({ ms: 500 }));
    for (const error of await Promise.all([...questions, all])) {
      expect(reasonOf(error)).to.equal("HYPERVISOR_UNAVAILABLE");
    }
    expect(performance.now() - begun).to.be.within(450, 500 + SOON_MS);
    // Its workers are freed before libvirt's own keep-alive gives up, after some 8 s.
    await untilAvailable(hypervisor, false, LIBVIRT_CALL_MS + LIBVIRT_REOPEN_MS + 500);
    libvirtd.kill("SIGCONT");
    await untilAvailable(hypervisor, true, RECOVERY_MS);
    expect((await hypervisor.describe(uuid, ASK)).state).to.equal("running");
  });

  it("goes on after a pause that is shorter than every patience, without a change of status", async () => {
    let told = 0;
    hypervisor.onStatus(() => (told += 1));
    libvirtd.kill("SIGSTOP");
    const answer = hypervisor.describe(uuid, ASK);
    expect(reasonOf(await rejectionOf(hypervisor.describe(uuid, { ms: 300 })))).to.equal("HYPERVISOR_UNAVAILABLE");
    libvirtd.kill("SIGCONT");
    expect((await answer).state).to.equal("running");
    expect(told).to.equal(0);
  });

  it("ends in time while libvirtd is stopped, whether it is connected, asking or connecting", async () => {
    libvirtd.kill("SIGSTOP");
    const open = rejectionOf(hypervisor.describe(uuid, ASK));
    let begun = performance.now();
    await hypervisor.stop();
    expect(performance.now() - begun, "with a question open").to.be.lessThan(STOP_STEP_MS);
    expect(reasonOf(await open)).to.equal("HYPERVISOR_UNAVAILABLE");

    hypervisor = new LibvirtHypervisor({ uri: libvirtd.uri, log: silentLog });
    begun = performance.now();
    await hypervisor.start();
    expect(performance.now() - begun, "start does not wait for libvirtd").to.be.lessThan(SOON_MS);
    expect(hypervisor.status().available).to.equal(false);
    begun = performance.now();
    await hypervisor.stop();
    await hypervisor.stop();
    expect(performance.now() - begun, "while connecting").to.be.lessThan(STOP_STEP_MS);
  });

  it("ends in time while a frozen guest's display is being opened", async () => {
    const qemu = qemuPid(libvirtd, "faults");
    process.kill(qemu, "SIGSTOP");
    try {
      const opens = [1, 2].map(() => rejectionOf(hypervisor.openDisplay(uuid, 0, ASK)));
      await hypervisor.describe(uuid, ASK);
      const begun = performance.now();
      await hypervisor.stop();
      expect(performance.now() - begun).to.be.lessThan(STOP_STEP_MS);
      const reasons = (await Promise.all(opens)).map(reasonOf);
      expect(reasons).to.deep.equal(["HYPERVISOR_UNAVAILABLE", "HYPERVISOR_UNAVAILABLE"]);
    } finally {
      process.kill(qemu, "SIGCONT");
    }
  });

  it("starts without libvirtd, says once why it has none, and finds it when it comes", async () => {
    await hypervisor.stop();
    libvirtd.kill("SIGKILL");
    const fakeLog = new FakeLog();
    hypervisor = new LibvirtHypervisor({ uri: libvirtd.uri, log: fakeLog.log });
    await hypervisor.start();
    await waitUntil(() => hypervisor.status().detail.includes("Failed to connect"), {
      ms: SOON_MS,
      what: "a failed try",
    });
    await libvirtd.start();
    await untilAvailable(hypervisor, true, RECOVERY_MS);
    expect(fakeLog.at("warn").map(({ detail }) => String(detail).slice(0, 17))).to.deep.equal(["Failed to connect"]);
  });
});
