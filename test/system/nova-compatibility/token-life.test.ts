// SPDX-License-Identifier: Apache-2.0
// What makes tokens go, event by event. That a purge takes all that have expired, whatever their host, is shown by
// token-lifecycle.test.ts.
import { expect } from "chai";
import { waitUntil } from "../../../demo/wait-until.js";
import { FailureReason } from "../../../proto/gen/spicegate/agent/v1/agent.js";
import { callUnary } from "../../harness/grpc-client.js";
import { get, remove, responseOf, update } from "../../harness/inventory-calls.js";
import type { NovaWorld, ScriptedInstance } from "./nova-world.js";
import { withAndWithoutLegacy } from "./nova-world.js";

/** What an orchestrator says of the instance while and after something is done to it, and Nova keeps the tokens. */
const KEPT = {
  resize: [{ taskState: "resize_prep" }, { taskState: "", vmState: "resized" }],
  rebuild: [{ taskState: "rebuilding" }, { taskState: "", vmState: "active" }],
  shelve: [{ taskState: "shelving" }, { taskState: "", vmState: "shelved" }],
  stop: [{ taskState: "powering-off" }, { taskState: "", vmState: "stopped" }],
  reboot: [{ taskState: "rebooting" }, { taskState: "", vmState: "active" }],
  suspend: [{ taskState: "suspending" }, { taskState: "", vmState: "suspended" }],
} as const;

describe("09 what makes tokens go", () => {
  withAndWithoutLegacy((world) => {
    let instance: ScriptedInstance;
    beforeEach(async () => {
      instance = await world().scripted();
    });

    const say = async (what: { readonly taskState?: string; readonly vmState?: string }): Promise<void> => {
      const mask = Object.keys(what).map((name) => name.replace("State", "_state"));
      responseOf(await update(world().deployment, { instanceUuid: instance.uuid, ...what }, mask));
    };

    it("the instance is deleted: all of them go, those that were used too", async () => {
      const { uuid } = instance;
      const [used, unused] = [await world().issue(uuid), await world().issue(uuid)];
      expect(await world().redeem(used)).to.equal("OK");
      expect(responseOf(await remove(world().deployment, uuid)).revokedTokens).to.equal(2);
      expect(await world().lookup(unused)).to.equal("TOKEN_NOT_FOUND");
      for (const token of [used, unused]) expect(await world().redeem(token)).to.equal("TOKEN_INVALID");
    });

    it("a live migration begins and fails: they open the console as before", async () => {
      const token = await world().issue(instance.uuid);
      await say({ taskState: "migrating" });
      expect(await world().lookup(token)).to.have.property("instanceUuid", instance.uuid);
      await say({ taskState: "" });
      expect(await world().redeem(token)).to.equal("OK");
    });

    it("a live migration succeeds: they go when the machine runs on its new host", async () => {
      const token = await world().issue(instance.uuid);
      await say({ taskState: "migrating" });
      await move(world(), instance);
      expect(await world().lookup(token)).to.equal("TOKEN_NOT_FOUND");
      expect(await world().redeem(token)).to.equal("TOKEN_INVALID");
      await say({ taskState: "" });
      expect(await world().redeem(await world().issue(instance.uuid))).to.equal("OK");
    });

    it("any other move (cold migration, evacuation) takes them as well, where Nova keeps them", async () => {
      const token = await world().issue(instance.uuid);
      await move(world(), instance);
      expect(await world().redeem(token)).to.equal("TOKEN_INVALID");
    });

    for (const [name, [during, afterwards]] of Object.entries(KEPT)) {
      it(`${name}: they are kept, and only the display can stop them`, async () => {
        const token = await world().issue(instance.uuid);
        await say(during);
        instance.script.failure = FailureReason.FAILURE_REASON_INSTANCE_NOT_RUNNING;
        expect(await world().redeem(token)).to.equal("INSTANCE_NOT_RUNNING");
        await say(afterwards);
        instance.script.failure = undefined;
        expect(await world().redeem(token)).to.equal("OK");
      });
    }

    it("they are revoked: the unused ones go, and sessions go on", async () => {
      const [used, unused] = [await world().issue(instance.uuid), await world().issue(instance.uuid)];
      expect(await world().redeem(used)).to.equal("OK");
      const { console } = world().deployment;
      const revoke = console.revokeConsoleTokens.bind(console);
      const { uuid: instanceUuid } = instance;
      expect(responseOf(await callUnary(revoke, { instanceUuid })).revoked).to.equal(1);
      expect(await world().redeem(unused)).to.equal("TOKEN_INVALID");
      const ended = await world().sql(
        "select ended_at is not null as ended from console_sessions where instance_uuid = $1",
        [instanceUuid],
      );
      expect(ended).to.deep.equal([{ ended: false }]);
    });
  });
});

/** The machine is gone from its host and runs on another one. */
async function move(world: NovaWorld, { uuid, host, agent, script }: ScriptedInstance): Promise<void> {
  const to = `${host}-next`;
  await world.connect(to, [uuid], script);
  agent.snapshot([]);
  const moved = async (): Promise<boolean> => responseOf(await get(world.deployment, uuid)).instance?.host === to;
  await waitUntil(moved, { ms: 10_000, what: `${uuid} to be on ${to}` });
}
