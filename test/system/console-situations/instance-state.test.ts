// SPDX-License-Identifier: Apache-2.0
// What GetSpiceConsole answers for an instance that is not simply running.
import { randomUUID } from "node:crypto";
import type { DemoMachine } from "../../../demo/demo-machine.js";
import { defineMachine } from "../../../demo/demo-machine.js";
import type { PrivateLibvirtd } from "../../../demo/private-libvirtd.js";
import { PowerState } from "../../../proto/gen/spicegate/inventory/v1/inventory.js";
import { Deployment } from "../../harness/deployment.js";
import { sharedLibvirtd } from "../../harness/hypervisor.js";
import { reaches, register, update } from "../../harness/inventory-calls.js";
import { discardMachines, startMachines } from "../../harness/machines.js";
import { expectRefusal, opens, refuses, situation } from "./situation.js";

describe("GetSpiceConsole and the state of the instance", function () {
  this.timeout(60_000);
  let libvirtd: PrivateLibvirtd;
  let deployment: Deployment;
  let machines: Record<"busy" | "gone" | "paused" | "saved", DemoMachine>;
  let off: DemoMachine;

  before(async () => {
    libvirtd = await sharedLibvirtd();
    const displays = ["spice-tcp"] as const;
    machines = await startMachines(libvirtd, { busy: displays, gone: displays, paused: displays, saved: displays });
    off = await defineMachine(libvirtd, { name: "off", displays });
    deployment = await Deployment.start({ libvirtUri: libvirtd.uri });
    await Promise.all([...Object.values(machines), off].map(({ uuid }) => deployment.knows(uuid)));
  });
  after(async () => {
    await deployment.stop();
    await discardMachines(libvirtd, [...Object.values(machines), off]);
  });

  refuses("no host", { answer: "INSTANCE_NOT_READY", says: /no host yet; wait until it is placed/ }, async () => {
    const { instanceUuid } = await register(deployment, { instanceUuid: randomUUID(), vmState: "building" });
    return deployment.getConsole(instanceUuid);
  });

  for (const taskState of ["deleting", "migrating"] as const) {
    const says = new RegExp(`the instance is ${taskState}; ask again`);
    const provoke = async (): Promise<void> => {
      const { uuid: instanceUuid } = machines.busy;
      await update(deployment, { instanceUuid, taskState }, ["task_state"]);
      const result = await deployment.getConsole(instanceUuid);
      expectRefusal(result, "INSTANCE_BUSY", says);
    };
    if (taskState === "deleting") situation("deleting", provoke);
    else situation("migrating", provoke);
  }

  refuses("building without a domain", { answer: "INSTANCE_NOT_READY", says: /being built; wait until/ }, async () => {
    const instanceUuid = randomUUID();
    await register(deployment, { instanceUuid, vmState: "building", taskState: "spawning", host: deployment.host });
    return deployment.getConsole(instanceUuid);
  });

  refuses("domain gone", { answer: "INSTANCE_NOT_FOUND", says: /no longer on its host/ }, async () => {
    const { uuid } = machines.gone;
    await register(deployment, { instanceUuid: uuid, vmState: "active" });
    await discardMachines(libvirtd, [machines.gone]);
    await reaches(deployment, uuid, PowerState.POWER_STATE_UNSPECIFIED);
    return deployment.getConsole(uuid);
  });

  refuses("not running", { answer: "INSTANCE_NOT_RUNNING", says: /not running; start or resume it/ }, () =>
    deployment.getConsole(off.uuid),
  );

  refuses("saved", { answer: "INSTANCE_NOT_RUNNING", says: /not running; start or resume it/ }, async () => {
    await libvirtd.virsh("managedsave", machines.saved.uuid);
    return deployment.getConsole(machines.saved.uuid);
  });

  opens("paused by a user", async () => {
    await libvirtd.virsh("suspend", machines.paused.uuid);
    return deployment.getConsole(machines.paused.uuid);
  });
});
