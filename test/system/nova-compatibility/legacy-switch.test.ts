// SPDX-License-Identifier: Apache-2.0
// The switch of the legacy way, with the store in the controller's process. With the store as a service of its own, in
// memcached, down, frozen and off to the last byte: consoleauth.test.ts.
import { status } from "@grpc/grpc-js";
import { expect } from "chai";
import { hashOf } from "../../harness/deployment.js";
import { responseOf, update } from "../../harness/inventory-calls.js";
import { LegacyStoreClient } from "../../harness/legacy-store-client.js";
import type { NovaWorld, ScriptedInstance } from "./nova-world.js";
import { inWorld } from "./nova-world.js";

describe("14 the switch of the legacy way", function () {
  this.timeout(60_000);
  describe("on", () => {
    inWorld({ legacy: true, compat: false }, (world) => {
      let legacy: LegacyStoreClient;
      let instance: ScriptedInstance;
      before(() => {
        legacy = new LegacyStoreClient(world().deployment.api);
      });
      after(() => legacy.close());
      beforeEach(async () => {
        instance = await world().scripted();
      });

      const inDatabase = async (token: string): Promise<boolean> =>
        (await world().sql("select id from console_auth_tokens where token_hash = $1", [hashOf(token)])).length > 0;
      const counted = (result: string): Promise<number> =>
        world().deployment.metric(`spicegate_consoleauth_checks_total{result="${result}"}`);

      it("a token is written to both stores", async () => {
        const token = await world().issue(instance.uuid);
        expect(await legacy.find(token)).to.include({ instanceUuid: instance.uuid, port: 5900, createdBy: "loopback" });
        expect(await inDatabase(token)).to.equal(true);
      });

      it("the legacy store is asked first, and the row decides what is used", async () => {
        const token = await world().issue(instance.uuid);
        const asked = await counted("both");
        expect(await world().redeem(token)).to.equal("OK");
        expect(await counted("both")).to.equal(asked + 1);
        expect(await world().redeem(token)).to.equal("TOKEN_USED");
      });

      it("a token that it does not know is the database's", async () => {
        const token = await world().issue(instance.uuid);
        await legacy.forget(instance.uuid);
        const missed = await counted("miss");
        expect(await world().redeem(token)).to.equal("OK");
        expect(await counted("miss")).to.equal(missed + 1);
      });

      it("a token that it alone knows opens once, is counted, and is forgotten there", async () => {
        const token = await legacy.issue(instance.uuid, { tlsPort: 5901 });
        expect(await inDatabase(token)).to.equal(false);
        const hits = await counted("legacy-only");
        expect(await world().redeem(token)).to.equal("OK");
        expect(await counted("legacy-only")).to.equal(hits + 1);
        expect(await legacy.find(token)).to.equal(undefined);
        expect(await world().redeem(token)).to.equal("TOKEN_USED");
      });

      it("a live migration deletes its tokens when it begins; the rows wait for its success", async () => {
        const token = await world().issue(instance.uuid);
        const moving = { instanceUuid: instance.uuid, taskState: "migrating" };
        responseOf(await update(world().deployment, moving, ["task_state"]));
        expect(await legacy.find(token)).to.equal(undefined);
        expect(await inDatabase(token)).to.equal(true);
      });
    });
  });

  describe("off", () => {
    inWorld({ legacy: false, compat: false }, (world) => {
      it("nobody is asked and nobody answers", async () => {
        const { uuid } = await world().scripted();
        expect(await world().redeem(await world().issue(uuid))).to.equal("OK");
        expect(await legacyCalls(world())).to.equal(0);
        const legacy = new LegacyStoreClient(world().deployment.api);
        const answer = await legacy.check(hashOf("x"));
        legacy.close();
        expect(answer).to.have.nested.property("failure.code", status.UNIMPLEMENTED);
      });
    });
  });
});

/** How often the legacy store was asked for a token, or did not take a change. */
async function legacyCalls({ deployment }: NovaWorld): Promise<number> {
  const response = await fetch(`http://${deployment.telemetry}/metrics`);
  const lines = (await response.text()).split("\n").filter((line) => line.startsWith("spicegate_consoleauth_"));
  return lines.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
}
