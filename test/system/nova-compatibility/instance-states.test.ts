// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { FailureReason } from "../../../proto/gen/spicegate/agent/v1/agent.js";
import { PowerState } from "../../../proto/gen/spicegate/inventory/v1/inventory.js";
import { sharedLibvirtd } from "../../harness/hypervisor.js";
import { reaches, responseOf, update } from "../../harness/inventory-calls.js";
import type { NovaWorld, ScriptedInstance } from "./nova-world.js";
import { inWorld, withAndWithoutLegacy } from "./nova-world.js";

// Locking is not known here, and Nova does not look at it.
const VM_STATES = ["active", "paused", "suspended", "stopped", "error", "rescued", "resized", "shelved", "building"];

/** "OK" where a console is given out, or the reason why not. */
async function answerOf({ deployment }: NovaWorld, uuid: string): Promise<string> {
  const result = await deployment.getConsole(uuid);
  return result.ok ? "OK" : result.failure.reason;
}

describe("05 the state of the machine decides, not what is said of the instance", () => {
  withAndWithoutLegacy((world) => {
    let instance: ScriptedInstance;
    before(async () => {
      instance = await world().scripted();
    });

    it("vm_state alone never refuses a console", async () => {
      const { uuid: instanceUuid } = instance;
      for (const vmState of VM_STATES) {
        responseOf(await update(world().deployment, { instanceUuid, vmState }, ["vm_state"]));
        expect(await answerOf(world(), instanceUuid), vmState).to.equal("OK");
      }
    });

    it("building without a domain is not ready yet; any other without a domain is not found", async () => {
      const { uuid: instanceUuid, script } = instance;
      script.failure = FailureReason.FAILURE_REASON_INSTANCE_NOT_FOUND;
      const seen: string[] = [];
      for (const vmState of ["building", "active"]) {
        responseOf(await update(world().deployment, { instanceUuid, vmState }, ["vm_state"]));
        seen.push(await answerOf(world(), instanceUuid));
      }
      expect(seen).to.deep.equal(["INSTANCE_NOT_READY", "INSTANCE_NOT_FOUND"]);
    });
  });

  // The host answers before either store is asked.
  describe("of a machine", function () {
    this.timeout(60_000);
    inWorld({ legacy: false, compat: false }, (world) => {
      it("paused it has a console; saved or stopped it has none, where Nova hands out a dead URL", async () => {
        const { uuid } = await world().machine();
        const libvirtd = await sharedLibvirtd();
        const steps = [
          { act: ["suspend", uuid], expected: "OK" },
          { act: ["managedsave", uuid], expected: "INSTANCE_NOT_RUNNING" },
          { act: ["start", uuid, "--force-boot"], expected: "OK" },
          { act: ["destroy", uuid], expected: "INSTANCE_NOT_RUNNING" },
          { act: ["start", uuid], expected: "OK" },
        ];
        for (const { act, expected } of steps) {
          await libvirtd.virsh(...act);
          expect(await answerOf(world(), uuid), act[0]).to.equal(expected);
        }
        await reaches(world().deployment, uuid, PowerState.POWER_STATE_RUNNING);
      });
    });
  });
});
