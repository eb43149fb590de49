// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { pageOf } from "../../../src/db/page-token.js";
import type { InstanceRegistry } from "../../../src/instances/instance-registry.js";
import { reasonOf } from "../../../src/lib/service-error.js";
import {
  ACTOR,
  authorize,
  domainOf,
  helloOf,
  registrationOf,
  registryOn,
  TestAgent,
  uuidOf,
} from "../../harness/inventory.js";
import { rejectionOf } from "../../harness/rejection.js";
import { TestDatabase } from "../../harness/test-database.js";

const VM = uuidOf(1);

describe("Instances", () => {
  let db: TestDatabase;
  let registry: InstanceRegistry;

  before(async () => {
    db = await TestDatabase.create();
  });

  beforeEach(async () => {
    await db.clear();
    registry = registryOn(db.database);
  });

  after(async () => {
    await db.stop();
  });

  describe("register", () => {
    const whole = registrationOf(VM, {
      name: "web",
      projectId: "p1",
      userId: "u1",
      host: "h1",
      vmState: "active",
      taskState: "rebooting",
    });

    it("stores what the orchestrator says, at once visible in memory", async () => {
      const { uuid, ...columns } = whole;
      expect(await registry.register(whole)).to.include({ uuid, ...columns, registered: true });
      expect(registry.find(VM)).to.include(columns);
    });

    it("changes nothing the second time with the same content", async () => {
      const first = await registry.register(whole);
      expect(await registry.register(whole)).to.deep.equal(first);
    });

    it("replaces all columns, by empty ones too", async () => {
      await registry.register(whole);
      const { revision, ...second } = await registry.register(registrationOf(VM));
      expect(second).to.include({ name: "", projectId: "", userId: "", host: undefined, vmState: "", taskState: "" });
      expect(revision > 0n).to.equal(true);
    });

    it("lets two at once end in one instance", async () => {
      const both = await Promise.all([registry.register(whole), registry.register(whole)]);
      expect(both[0]).to.deep.equal(both[1]);
    });
  });

  describe("update", () => {
    it("changes what it names and leaves the rest", async () => {
      await registry.register(registrationOf(VM, { name: "web", projectId: "p1", taskState: "migrating" }));
      expect(await registry.update(VM, { taskState: "" })).to.include({ name: "web", projectId: "p1", taskState: "" });
    });

    it("registers an instance that only an agent had reported, and keeps what its metadata said", async () => {
      const a = await TestAgent.connect(registry, "a");
      await a.snapshot([domainOf(VM, "running", { owner: { name: "n", projectId: "p", userId: "u" } })]);
      const updated = await registry.update(VM, { vmState: "active" });
      expect(updated).to.include({ registered: true, name: "n", projectId: "p", vmState: "active", host: "a" });
    });

    it("refuses another host while an agent claims the domain, accepts the same", async () => {
      const a = await TestAgent.connect(registry, "a");
      await a.snapshot([domainOf(VM)]);
      const error = await rejectionOf(registry.update(VM, { host: "b" }));
      expect(error).to.deep.include({ reason: "INVALID_ARGUMENT", metadata: { field: "host" } });
      expect(await registry.update(VM, { host: "a" })).to.include({ host: "a" });
    });

    it("removes the host of an instance that no agent claims when it is empty", async () => {
      await registry.register(registrationOf(VM, { host: "h" }));
      expect(await registry.update(VM, { host: "" })).to.include({ host: undefined });
    });

    it("says INSTANCE_NOT_FOUND for an unknown and for a deleted one", async () => {
      expect(reasonOf(await rejectionOf(registry.update(VM, { name: "x" })))).to.equal("INSTANCE_NOT_FOUND");
      await registry.register(registrationOf(VM));
      await registry.delete(VM, ACTOR);
      expect(reasonOf(await rejectionOf(registry.update(VM, { name: "x" })))).to.equal("INSTANCE_NOT_FOUND");
    });
  });

  describe("delete", () => {
    it("deletes every token with the instance, says how many, and notes it in the audit", async () => {
      await registry.register(registrationOf(VM, { host: "h" }));
      await registry.register(registrationOf(uuidOf(2), { host: "h" }));
      for (const uuid of [VM, VM, uuidOf(2)]) await authorize(db.database, uuid, "h");
      expect(await registry.delete(VM, ACTOR)).to.equal(2);
      expect(await db.sql("select instance_uuid from console_auth_tokens")).to.deep.equal([
        { instance_uuid: uuidOf(2) },
      ]);
      const audit = await db.sql("select reason, subject, token_count from audit_events where action = 'revoked'");
      expect(audit).to.deep.equal([{ reason: "deleted", subject: "alice", token_count: 2 }]);
    });

    it("says INSTANCE_NOT_FOUND the second time, and for one that never was", async () => {
      await registry.register(registrationOf(VM));
      await registry.delete(VM, ACTOR);
      expect(reasonOf(await rejectionOf(registry.delete(VM, ACTOR)))).to.equal("INSTANCE_NOT_FOUND");
      expect(reasonOf(await rejectionOf(registry.delete(uuidOf(2), ACTOR)))).to.equal("INSTANCE_NOT_FOUND");
    });
  });

  describe("list", () => {
    beforeEach(async () => {
      const a = await TestAgent.connect(registry, "a");
      await a.snapshot([1, 2, 3].map((n) => domainOf(uuidOf(n), n === 3 ? "paused" : "running")));
      for (const n of [4, 5]) await registry.register(registrationOf(uuidOf(n), { projectId: "p1", name: `n${n}` }));
      await registry.register(registrationOf(uuidOf(6)));
      await registry.delete(uuidOf(6), ACTOR);
    });

    async function uuids(filters: Parameters<InstanceRegistry["list"]>[0]): Promise<string[]> {
      return (await registry.list(filters, { size: 0, token: "" })).items.map(({ uuid }) => uuid);
    }

    it("goes through all the living page by page, by uuid", async () => {
      const seen: string[] = [];
      let token = "";
      do {
        const page = await registry.list({}, { size: 2, token });
        seen.push(...page.items.map(({ uuid }) => uuid));
        token = page.nextPageToken;
      } while (token !== "");
      expect(seen).to.deep.equal([1, 2, 3, 4, 5].map(uuidOf));
    });

    it("filters by project, host, name and power state", async () => {
      expect(await uuids({ projectId: "p1" })).to.deep.equal([4, 5].map(uuidOf));
      expect(await uuids({ host: "a" })).to.deep.equal([1, 2, 3].map(uuidOf));
      expect(await uuids({ name: "n5" })).to.deep.equal([uuidOf(5)]);
      expect(await uuids({ host: "a", powerState: "paused" })).to.deep.equal([uuidOf(3)]);
    });

    it("filters by a part of the name, in which nothing has a meaning, in whichever case", async () => {
      const names = ["100% web", "web_1", "web\\1", "WEB-1"];
      for (const [n, name] of names.entries()) await registry.register(registrationOf(uuidOf(10 + n), { name }));
      const found = async (text: string, atStart = false, atEnd = false): Promise<number[]> => {
        const all = await uuids({ namePart: { text, atStart, atEnd } });
        return all.map((uuid) => parseInt(uuid.slice(-4), 16) - 10);
      };
      expect(await found("web")).to.deep.equal([0, 1, 2, 3]);
      expect(await found("web", true)).to.deep.equal([1, 2, 3]);
      expect(await found("web", false, true)).to.deep.equal([0]);
      expect(await found("web-1", true, true)).to.deep.equal([3]);
      expect(await found("web", true, true)).to.deep.equal([]);
      expect([await found("%"), await found("_"), await found("\\")]).to.deep.equal([[0], [1], [2]]);
    });

    it("begins after a uuid", async () => {
      expect(await uuids({ after: uuidOf(3) })).to.deep.equal([4, 5].map(uuidOf));
      expect(await uuids({ after: uuidOf(5) })).to.deep.equal([]);
    });

    it("refuses a page token that is none, or that belongs to other filters", async () => {
      const { nextPageToken } = await registry.list({ host: "a" }, { size: 1, token: "" });
      for (const token of [nextPageToken, "nonsense", `${nextPageToken}x`, "x".repeat(2_000)]) {
        const error = await rejectionOf(registry.list({ host: "b" }, { size: 1, token }));
        expect(error).to.deep.include({ reason: "INVALID_ARGUMENT", metadata: { field: "page_token" } });
      }
    });

    it("refuses a page token that somebody made, before it is in a statement", async () => {
      const forge = (key: string): string => pageOf([key, ""], { size: 1, token: "" }, {}, (row) => row).nextPageToken;
      const listings = [
        registry.list({}, { size: 1, token: forge("no uuid") }),
        registry.listHosts({ size: 1, token: forge("a\0") }),
      ];
      for (const listing of listings) expect(reasonOf(await rejectionOf(listing))).to.equal("INVALID_ARGUMENT");
    });

    it("lists hosts by name with what this controller knows of them", async () => {
      const other = registryOn(db.database);
      await TestAgent.connect(other, "b");
      const { items } = await registry.listHosts({ size: 0, token: "" });
      const seen = items.map(({ host, connected, inventoryComplete, instanceCount }) => {
        return { host, connected, inventoryComplete, instanceCount };
      });
      expect(seen).to.deep.equal([
        { host: "a", connected: true, inventoryComplete: true, instanceCount: 3 },
        { host: "b", connected: false, inventoryComplete: false, instanceCount: 0 },
      ]);
      const first = await registry.listHosts({ size: 1, token: "" });
      const second = await registry.listHosts({ size: 1, token: first.nextPageToken });
      expect(second.items.map(({ host }) => host)).to.deep.equal(["b"]);
      expect(second.nextPageToken).to.equal("");
    });

    it("shows the hypervisor as the host's present agent last described it", async () => {
      const a = await registry.welcomeHost(helloOf("c"));
      await registry.setHypervisor(a, { ...helloOf("c").hypervisor, available: false, detail: "gone" });
      const stale = { ...a, generation: a.generation - 1n };
      await registry.setHypervisor(stale, { ...helloOf("c").hypervisor, detail: "late" });
      const { items } = await registry.listHosts({ size: 0, token: "" });
      expect(items[1]?.hypervisor).to.include({ available: false, detail: "gone", libvirtVersion: "9.0.0" });
    });
  });

  describe("faults", () => {
    const fault = { instanceUuid: VM, reason: "AGENT_TIMEOUT", message: "said nothing", host: "a" };

    it("keeps the last ten of an instance, newest first", async () => {
      await registry.register(registrationOf(VM));
      registry.start();
      for (let n = 0; n < 13; n += 1) registry.recordFault({ ...fault, requestId: `r${n}` });
      await registry.faultsWritten();
      const kept = (await registry.faults(VM)).map(({ requestId }) => requestId);
      expect(kept).to.deep.equal([12, 11, 10, 9, 8, 7, 6, 5, 4, 3].map((n) => `r${n}`));
      await registry.stop();
    });

    it("drops those of unknown instances, and goes on", async () => {
      await registry.register(registrationOf(VM));
      registry.start();
      registry.recordFault({ ...fault, instanceUuid: uuidOf(9), requestId: "lost" });
      registry.recordFault({ ...fault, requestId: "kept" });
      await registry.faultsWritten();
      expect((await registry.faults(VM)).map(({ requestId }) => requestId)).to.deep.equal(["kept"]);
      await registry.stop();
    });
  });

  describe("memory", () => {
    it("is filled at the start with all the living", async () => {
      await registry.register(registrationOf(VM, { name: "web" }));
      await registry.register(registrationOf(uuidOf(2)));
      await registry.delete(uuidOf(2), ACTOR);
      const fresh = registryOn(db.database);
      expect(fresh.isLoaded()).to.equal(false);
      fresh.start();
      await fresh.loaded();
      expect(fresh.isLoaded()).to.equal(true);
      expect(fresh.find(VM)).to.include({ name: "web" });
      expect(fresh.find(uuidOf(2))).to.equal(undefined);
      await fresh.stop();
    });

    it("is asked of Postgres once for a uuid that is missing, and remembers what it finds", async () => {
      const other = registryOn(db.database);
      expect(await registry.findFresh(VM)).to.equal(undefined);
      await other.register(registrationOf(VM));
      expect(registry.find(VM)).to.equal(undefined);
      expect(await registry.findFresh(VM)).to.include({ uuid: VM });
      expect(registry.find(VM)).to.include({ uuid: VM });
    });

    it("waits for the inventory of every host that Postgres knows", async () => {
      const a = await TestAgent.connect(registry, "a");
      await a.snapshot([domainOf(VM)]);
      const fresh = registryOn(db.database);
      expect(fresh.inventoryPending()).to.equal(true);
      fresh.start();
      await fresh.loaded();
      expect(fresh.inventoryPending()).to.equal(true);
      const again = await TestAgent.connect(fresh, "a");
      expect(fresh.inventoryPending()).to.equal(true);
      await again.snapshot([domainOf(VM)], 5n);
      expect(fresh.inventoryPending()).to.equal(false);
      await fresh.stop();
    });
  });
});
