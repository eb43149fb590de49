// SPDX-License-Identifier: Apache-2.0
// What InventoryService shows and changes. The machines are real; instances without a machine are only registered.
import { expect } from "chai";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import type { DemoMachine } from "../../demo/demo-machine.js";
import { defineAndStart, defineMachine } from "../../demo/demo-machine.js";
import type { PrivateLibvirtd } from "../../demo/private-libvirtd.js";
import { waitUntil } from "../../demo/wait-until.js";
import type { Host, Instance } from "../../proto/gen/spicegate/inventory/v1/inventory.js";
import { DisplayKind, PowerState } from "../../proto/gen/spicegate/inventory/v1/inventory.js";
import { Deployment } from "../harness/deployment.js";
import { sharedLibvirtd } from "../harness/hypervisor.js";
import { get, host, list, reaches, register, remove, responseOf, update } from "../harness/inventory-calls.js";
import { discardMachines } from "../harness/machines.js";

const OWNER = { name: "Ana's machine", project: "project-ana", user: "ana" };

describe("the inventory", function () {
  this.timeout(90_000);
  let libvirtd: PrivateLibvirtd;
  let deployment: Deployment;
  /** A controller on the same database whose caller is a member of the owner's project. */
  let member: Deployment;
  let owned: DemoMachine;
  let off: DemoMachine;

  before(async () => {
    libvirtd = await sharedLibvirtd();
    owned = await defineAndStart(libvirtd, { name: "owned", displays: ["vnc-none", "spice-none"], owner: OWNER });
    off = await defineMachine(libvirtd, { name: "off", displays: ["spice-none"], owner: OWNER });
    const caller = { subject: "ana", project: OWNER.project, roles: ["member"] };
    // Before any host is known, so that it waits for none.
    member = await Deployment.start({ controller: { identity: { loopback_caller: caller } } });
    deployment = await Deployment.start({ libvirtUri: libvirtd.uri, databaseUrl: member.databaseUrl });
    await Promise.all([owned, off].map(({ uuid }) => deployment.knows(uuid)));
  });
  after(async () => {
    await Promise.all([member.stop(), deployment.stop()]);
    await discardMachines(libvirtd, [owned, off]);
  });

  const stored = async (uuid: string): Promise<Instance> => responseOf(await get(deployment, uuid)).instance!;
  const listed = async (request: Parameters<typeof list>[1]): Promise<string[]> =>
    responseOf(await list(deployment, request)).instances.map(({ instanceUuid }) => instanceUuid);

  describe("lists", () => {
    const projectId = "project-list";
    const uuids = Array.from({ length: 5 }, () => randomUUID()).sort();

    before(async () => {
      const names = ["a", "b", "b", "c", "c"];
      for (const [at, instanceUuid] of uuids.entries()) {
        await register(deployment, { instanceUuid, projectId, name: names[at]!, host: at < 2 ? "host-7" : "host-8" });
      }
    });

    it("in the order of the uuid, page by page, each instance once", async () => {
      const pages: string[][] = [];
      let pageToken = "";
      do {
        const page = responseOf(await list(deployment, { projectId, pageSize: 2, pageToken }));
        pages.push(page.instances.map(({ instanceUuid }) => instanceUuid));
        pageToken = page.nextPageToken;
      } while (pageToken !== "");
      expect(pages).to.deep.equal([uuids.slice(0, 2), uuids.slice(2, 4), uuids.slice(4)]);
    });

    it("only what fits every filter", async () => {
      expect(await listed({ projectId })).to.deep.equal(uuids);
      expect(await listed({ projectId, host: "host-7" })).to.deep.equal(uuids.slice(0, 2));
      expect(await listed({ projectId, name: "b" })).to.deep.equal(uuids.slice(1, 3));
      expect(await listed({ projectId, name: "b", host: "host-8" })).to.deep.equal(uuids.slice(2, 3));
      expect(await listed({ projectId, powerState: PowerState.POWER_STATE_RUNNING })).to.deep.equal([]);
      expect(await listed({ powerState: PowerState.POWER_STATE_RUNNING }))
        .to.include(owned.uuid)
        .and.not.include(off.uuid);
    });

    it("refuses a page token of another list, and a page that is too large", async () => {
      const { nextPageToken: pageToken } = responseOf(await list(deployment, { projectId, pageSize: 2 }));
      for (const request of [{ projectId, name: "b", pageToken }, { pageToken: "nonsense" }, { pageSize: 1_001 }]) {
        const result = await list(deployment, request);
        expect(result, JSON.stringify(request)).to.have.nested.property("failure.reason", "INVALID_ARGUMENT");
      }
    });

    it("shows a member the instances of its own project and nothing of others'", async () => {
      const own = responseOf(await list(member)).instances;
      expect(own.map(({ instanceUuid }) => instanceUuid)).to.deep.equal([owned.uuid, off.uuid].sort());
      expect(responseOf(await list(member, { projectId })).instances).to.deep.equal([]);
      expect(await get(member, uuids[0]!)).to.have.nested.property("failure.reason", "INSTANCE_NOT_FOUND");
    });
  });

  describe("takes from the host", () => {
    it("the owner that the domain's metadata names, its displays and its state", async () => {
      expect(await stored(owned.uuid)).to.deep.include({
        name: OWNER.name,
        projectId: OWNER.project,
        userId: OWNER.user,
        host: deployment.host,
        powerState: PowerState.POWER_STATE_RUNNING,
        displays: [DisplayKind.DISPLAY_KIND_VNC, DisplayKind.DISPLAY_KIND_SPICE],
        registered: false,
      });
    });

    it("its versions and abilities, how many instances it has and whether its agent is there", async () => {
      const version = (await libvirtd.virsh("version")).replaceAll("\n", " ");
      const [, libvirtVersion] = /Using library: libvirt ([\d.]+)/.exec(version) ?? [];
      const [, hypervisorVersion] = /Running hypervisor: QEMU ([\d.]+)/.exec(version) ?? [];
      // Its agent finds the member's controller as well, since both share a database.
      const known = async (): Promise<Host> => host(deployment, deployment.host);
      await waitUntil(async () => (await known()).connectedControllers === 2, { ms: 15_000, what: "both streams" });
      const { lastSeenAt, instanceCount, agentVersion, ...columns } = await known();
      expect(columns).to.deep.equal({
        host: deployment.host,
        connected: true,
        connectedControllers: 2,
        hypervisorAvailable: true,
        inventoryComplete: true,
        libvirtVersion,
        hypervisorVersion,
        spice: true,
        vnc: true,
      });
      expect(agentVersion).to.match(/^\d+\.\d+\.\d+/);
      expect(instanceCount).to.equal((await listed({ host: deployment.host, pageSize: 1_000 })).length);
      expect(Date.now() - Number(lastSeenAt)).to.be.below(60_000);
    });

    it("every change of a machine, as it happens", async () => {
      const machine = await defineMachine(libvirtd, { name: "changing", displays: ["spice-none"] });
      const { uuid } = machine;
      const becomes = async (command: string, state: PowerState): Promise<void> => {
        await libvirtd.virsh(command, uuid);
        await reaches(deployment, uuid, state);
      };
      try {
        await reaches(deployment, uuid, PowerState.POWER_STATE_SHUT_OFF);
        await becomes("start", PowerState.POWER_STATE_RUNNING);
        await becomes("suspend", PowerState.POWER_STATE_PAUSED);
        await becomes("resume", PowerState.POWER_STATE_RUNNING);
        await becomes("managedsave", PowerState.POWER_STATE_SAVED);
        await becomes("start", PowerState.POWER_STATE_RUNNING);
        process.kill(qemuPid(libvirtd, machine), "SIGKILL");
        // libvirt calls a machine whose process died off; that it crashed is in the event.
        await reaches(deployment, uuid, PowerState.POWER_STATE_SHUT_OFF);
        await becomes("undefine", PowerState.POWER_STATE_UNSPECIFIED);
      } finally {
        await discardMachines(libvirtd, [machine]);
      }
    });

    it("nothing while its agent is away, and everything when it is back", async () => {
      await deployment.agent?.stop();
      const gone = async (): Promise<boolean> => !(await host(deployment, deployment.host)).connected;
      await waitUntil(gone, { ms: 10_000, what: "the controller to notice" });
      const machine = await defineAndStart(libvirtd, { name: "meanwhile", displays: ["spice-none"] });
      try {
        expect(await get(deployment, machine.uuid)).to.have.nested.property("failure.reason", "INSTANCE_NOT_FOUND");
        await deployment.agent?.start();
        await reaches(deployment, machine.uuid, PowerState.POWER_STATE_RUNNING);
      } finally {
        await discardMachines(libvirtd, [machine]);
      }
    });
  });

  describe("keeps what the orchestrator says", () => {
    it("with only the masked fields changed", async () => {
      const instanceUuid = randomUUID();
      await register(deployment, { instanceUuid, name: "before", projectId: "p", userId: "u", vmState: "active" });
      const changes = { instanceUuid, name: "after", projectId: "q", taskState: "migrating" };
      responseOf(await update(deployment, changes, ["name", "task_state"]));
      expect(await stored(instanceUuid)).to.deep.include({
        name: "after",
        projectId: "p",
        userId: "u",
        vmState: "active",
        taskState: "migrating",
      });
    });

    it("but refuses a mask that names nothing, or what is not the orchestrator's", async () => {
      const instanceUuid = randomUUID();
      await register(deployment, { instanceUuid });
      for (const mask of [[], ["power_state"], ["name", "nonsense"]]) {
        const result = await update(deployment, { instanceUuid, name: "x" }, mask);
        expect(result, mask.join()).to.have.nested.property("failure.info.metadata.field", "update_mask");
      }
      expect((await stored(instanceUuid)).name).to.equal("");
    });

    it("but not where a machine is, once its host has reported it", async () => {
      const result = await update(deployment, { instanceUuid: off.uuid, host: "host-9" }, ["host"]);
      expect(result).to.have.nested.property("failure.info.metadata.field", "host");
      const registered = { instanceUuid: off.uuid, projectId: OWNER.project, host: "host-9" };
      expect(await register(deployment, registered)).to.include({ host: deployment.host, registered: true });
    });

    it("once: the same registration again changes nothing", async () => {
      const instance = { instanceUuid: randomUUID(), name: "same", projectId: "p" };
      expect(await register(deployment, instance)).to.deep.equal(await register(deployment, instance));
    });

    it("for an instance that exists: what does not cannot be updated or deleted", async () => {
      const instanceUuid = randomUUID();
      const results = [await update(deployment, { instanceUuid }, ["name"]), await remove(deployment, instanceUuid)];
      for (const result of results) expect(result).to.have.nested.property("failure.reason", "INSTANCE_NOT_FOUND");
    });

    it("from those who may write: a member may not", async () => {
      const result = await remove(member, owned.uuid);
      expect(result).to.have.nested.property("failure.reason", "PERMISSION_DENIED");
    });
  });

  describe("forgets a deleted instance", () => {
    it("even while its machine runs and its agent starts anew, until it is registered again, with empty columns", async () => {
      const machine = await defineAndStart(libvirtd, { name: "deleted", displays: ["spice-none"], owner: OWNER });
      const { uuid } = machine;
      try {
        await deployment.knows(uuid);
        responseOf(await remove(deployment, uuid));
        expect(await remove(deployment, uuid)).to.have.nested.property("failure.reason", "INSTANCE_NOT_FOUND");
        await deployment.agent?.stop();
        await deployment.agent?.start();
        const complete = async (): Promise<boolean> => (await host(deployment, deployment.host)).inventoryComplete;
        await waitUntil(complete, { ms: 15_000, what: "the snapshot" });
        expect(await get(deployment, uuid)).to.have.nested.property("failure.reason", "INSTANCE_NOT_FOUND");
        expect(await listed({ host: deployment.host, pageSize: 1_000 })).to.not.include(uuid);
        expect(await deployment.getConsole(uuid)).to.have.nested.property("failure.reason", "INSTANCE_NOT_FOUND");
        expect(await register(deployment, { instanceUuid: uuid, vmState: "active" })).to.deep.include({
          name: "",
          projectId: "",
          userId: "",
          vmState: "active",
          host: deployment.host,
          powerState: PowerState.POWER_STATE_RUNNING,
        });
        responseOf(await deployment.getConsole(uuid));
      } finally {
        await discardMachines(libvirtd, [machine]);
      }
    });
  });

  describe("remembers what went wrong on the host", () => {
    it("for administrators only, newest first and ten at most", async () => {
      for (let number = 1; number <= 12; number += 1) {
        await deployment.getConsole(off.uuid, { headers: { "x-request-id": `fault-${number}` } });
      }
      const ids = async (): Promise<string[]> =>
        responseOf(await get(deployment, off.uuid)).faults.map(({ requestId }) => requestId);
      const written = async (): Promise<boolean> => (await ids())[0] === "fault-12";
      await waitUntil(written, { ms: 10_000, what: "the faults to be written" });
      expect(await ids()).to.deep.equal(Array.from({ length: 10 }, (_, at) => `fault-${12 - at}`));
      const [fault] = responseOf(await get(deployment, off.uuid)).faults;
      expect(fault).to.include({ reason: "INSTANCE_NOT_RUNNING", host: deployment.host });
      expect(fault?.message).to.include("shut-off");
      const seen = responseOf(await get(member, off.uuid));
      expect(seen.instance?.instanceUuid).to.equal(off.uuid);
      expect(seen.faults).to.deep.equal([]);
    });
  });
});

/** The process of a machine that runs. */
function qemuPid({ folder }: PrivateLibvirtd, { name }: DemoMachine): number {
  return Number(readFileSync(`${folder}/run/libvirt/qemu/run/${name}.pid`, "utf8"));
}
