// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import type { PowerState } from "../../../src/instances/instance.js";
import type { InstanceRegistry } from "../../../src/instances/instance-registry.js";
import {
  ACTOR,
  authorize,
  domainOf,
  helloOf,
  registrationOf,
  registryOn,
  stored,
  TestAgent,
  uuidOf,
} from "../../harness/inventory.js";
import { TestDatabase } from "../../harness/test-database.js";

const VM = uuidOf(1);

describe("Ownership", () => {
  let db: TestDatabase;
  let registry: InstanceRegistry;
  let a: TestAgent;
  let b: TestAgent;

  before(async () => {
    db = await TestDatabase.create();
  });

  beforeEach(async () => {
    await db.clear();
    registry = registryOn(db.database);
    a = await TestAgent.connect(registry, "a");
    b = await TestAgent.connect(registry, "b");
  });

  after(async () => {
    await db.stop();
  });

  async function tokens(): Promise<number> {
    return (await db.sql<{ id: bigint }>("select id from console_auth_tokens")).length;
  }

  /** Lets the controllers of these tests have died a minute ago. */
  async function controllersDie(): Promise<void> {
    await db.sql("update controllers set heartbeat_at = now() - interval '1 minute'");
  }

  it("belongs to the host whose agent reports it", async () => {
    await a.snapshot([domainOf(VM)]);
    expect(await stored(registry, VM)).to.include({
      host: "a",
      claimed: true,
      powerState: "running",
      registered: false,
    });
  });

  it("keeps the owner while it runs there, and notes the other host as a conflict", async () => {
    await a.snapshot([domainOf(VM)]);
    await b.snapshot([domainOf(VM)]);
    expect(registry.conflictCount()).to.equal(1);
    expect(await stored(registry, VM)).to.include({ host: "a", conflictHost: "b" });
    await b.snapshot([]);
    expect(registry.conflictCount()).to.equal(0);
    expect(await stored(registry, VM)).to.include({ host: "a", conflictHost: undefined });
  });

  it("shows the conflict to a second controller through which the other host says the same", async () => {
    await a.snapshot([domainOf(VM)]);
    await b.snapshot([domainOf(VM)]);
    const second = registryOn(db.database);
    const again = new TestAgent(second, await second.welcomeHost(helloOf("b")));
    await again.snapshot([domainOf(VM)], b.sequence);
    expect(second.find(VM)).to.include({ host: "a", conflictHost: "b" });
  });

  for (const powerState of ["running", "paused", "suspended"] satisfies PowerState[]) {
    it(`counts ${powerState} as active`, async () => {
      await a.snapshot([domainOf(VM, powerState)]);
      await b.snapshot([domainOf(VM)]);
      expect((await stored(registry, VM)).host).to.equal("a");
    });
  }

  for (const powerState of ["shut-off", "saved", "crashed", "unknown"] satisfies PowerState[]) {
    it(`counts ${powerState} as inactive`, async () => {
      await a.snapshot([domainOf(VM, powerState)]);
      await b.snapshot([domainOf(VM)]);
      expect(await stored(registry, VM)).to.include({ host: "b", conflictHost: undefined });
    });
  }

  it("does not count a domain that waits for an incoming migration", async () => {
    await a.snapshot([domainOf(VM)]);
    await b.event("started", domainOf(VM, "incoming"));
    expect(await stored(registry, VM)).to.include({ host: "a", conflictHost: undefined });
  });

  it("does not move to a host that waits for an incoming migration even when the owner lets go", async () => {
    await a.snapshot([domainOf(VM)]);
    await b.event("started", domainOf(VM, "incoming"));
    await a.event("undefined", domainOf(VM));
    expect(await stored(registry, VM)).to.include({ host: "a", claimed: false, powerState: undefined });
  });

  it("has no host while its only domain waits for an incoming migration", async () => {
    await b.event("started", domainOf(VM, "incoming"));
    expect(await stored(registry, VM)).to.include({ host: undefined, claimed: false });
  });

  it("moves when the owner reports it gone", async () => {
    await a.snapshot([domainOf(VM)]);
    await b.event("started", domainOf(VM, "incoming"));
    await a.event("migrated", domainOf(VM, "unknown"));
    await b.event("resumed", domainOf(VM));
    expect(await stored(registry, VM)).to.include({ host: "b", claimed: true });
  });

  it("moves when the owner reports it inactive", async () => {
    await a.snapshot([domainOf(VM)]);
    await a.event("stopped", domainOf(VM, "shut-off"));
    await b.event("started", domainOf(VM));
    expect((await stored(registry, VM)).host).to.equal("b");
  });

  it("moves to the host in conflict when the owner lets go, though that host says nothing new", async () => {
    await a.snapshot([domainOf(VM)]);
    await b.snapshot([domainOf(VM)]);
    await a.event("migrated", domainOf(VM, "shut-off"));
    expect(await stored(registry, VM)).to.include({ host: "b", conflictHost: undefined });
    expect(registry.conflictCount()).to.equal(0);
  });

  it("moves when the owner's snapshot lacks it", async () => {
    await a.snapshot([domainOf(VM)]);
    await b.snapshot([domainOf(VM)]);
    await a.snapshot([]);
    expect((await stored(registry, VM)).host).to.equal("b");
  });

  it("stays with the owner where both have it switched off", async () => {
    await a.snapshot([domainOf(VM)]);
    await b.snapshot([domainOf(VM, "shut-off")]);
    await a.event("stopped", domainOf(VM, "shut-off"));
    expect(await stored(registry, VM)).to.include({ host: "a", conflictHost: undefined });
  });

  it("goes to a host that has it switched off once the owner has it no more", async () => {
    await a.snapshot([domainOf(VM)]);
    await b.snapshot([domainOf(VM, "shut-off")]);
    await a.event("undefined", domainOf(VM));
    expect(await stored(registry, VM)).to.include({ host: "b", powerState: "shut-off" });
  });

  it("is taken over when the owner's stream is down", async () => {
    await a.snapshot([domainOf(VM)]);
    await a.disconnect();
    await b.snapshot([domainOf(VM)]);
    expect(await stored(registry, VM)).to.include({ host: "b", conflictHost: "a" });
  });

  it("is not taken over by a host that has it switched off while the owner's stream is down", async () => {
    await a.snapshot([domainOf(VM)]);
    await a.disconnect();
    await b.snapshot([domainOf(VM, "shut-off")]);
    expect((await stored(registry, VM)).host).to.equal("a");
  });

  it("is taken over by the host in conflict as soon as the owner's stream ends", async () => {
    await a.snapshot([domainOf(VM)]);
    await b.snapshot([domainOf(VM)]);
    await a.disconnect();
    expect((await stored(registry, VM)).host).to.equal("b");
    expect(registry.find(VM)).to.include({ host: "b" });
  });

  it("does not go back when the old owner returns", async () => {
    await a.snapshot([domainOf(VM)]);
    await a.disconnect();
    await b.snapshot([domainOf(VM)]);
    const again = await TestAgent.connect(registry, "a");
    await again.snapshot([domainOf(VM)], 9n);
    expect(await stored(registry, VM)).to.include({ host: "b", conflictHost: "a" });
  });

  it("stays while the owner has a stream to another living controller", async () => {
    const other = registryOn(db.database);
    await TestAgent.connect(other, "a");
    await a.snapshot([domainOf(VM)]);
    await a.disconnect();
    await b.snapshot([domainOf(VM)]);
    expect((await stored(registry, VM)).host).to.equal("a");
  });

  it("is taken over when the owner's only stream belongs to a controller that died", async () => {
    await a.snapshot([domainOf(VM)]);
    await controllersDie();
    const living = registryOn(db.database);
    const c = await TestAgent.connect(living, "c");
    await c.snapshot([domainOf(VM)]);
    expect((await stored(living, VM)).host).to.equal("c");
  });

  it("lets a host take what it has in dispute when its snapshot repeats it and the owner is down", async () => {
    await a.snapshot([domainOf(VM)]);
    await b.snapshot([domainOf(VM)]);
    await db.sql("delete from agent_streams where host = 'a'");
    await b.snapshot([domainOf(VM)]);
    expect((await stored(registry, VM)).host).to.equal("b");
  });

  it("settles a dispute in the sweep when the owner went down without a word", async () => {
    await a.snapshot([domainOf(VM)]);
    await b.snapshot([domainOf(VM)]);
    await db.sql("delete from agent_streams where host = 'a'");
    const task = registry.sweepTasks().find(({ name }) => name === "disputes")!;
    await db.database.transaction((querier) => task.run(querier));
    expect((await stored(registry, VM)).host).to.equal("b");
    expect(registry.find(VM)?.host).to.equal("b");
  });

  it("stays with the owner where the streams of both hosts are down", async () => {
    await a.snapshot([domainOf(VM)]);
    await b.snapshot([domainOf(VM)]);
    await db.sql("delete from agent_streams");
    await sweep("disputes");
    expect(await stored(registry, VM)).to.include({ host: "a", conflictHost: "b" });
  });

  describe("and tokens", () => {
    it("deletes unredeemed tokens when the instance moves, keeps redeemed ones, and says so in the audit", async () => {
      await a.snapshot([domainOf(VM)]);
      await authorize(db.database, VM, "a");
      await authorize(db.database, VM, "a");
      await db.sql(
        "update console_auth_tokens set redeemed_at = now() where id = (select min(id) from console_auth_tokens)",
      );
      await a.event("stopped", domainOf(VM, "shut-off"));
      expect(await tokens()).to.equal(2);
      await b.event("started", domainOf(VM));
      expect(await tokens()).to.equal(1);
      const audit = await db.sql("select reason, subject, token_count from audit_events where action = 'revoked'");
      expect(audit).to.deep.equal([{ reason: "moved", subject: "spicegate", token_count: 1 }]);
    });

    it("keeps them while the instance stops, starts and reboots where it is", async () => {
      await a.snapshot([domainOf(VM)]);
      await authorize(db.database, VM, "a");
      await a.event("stopped", domainOf(VM, "shut-off"));
      await a.event("started", domainOf(VM));
      await a.event("undefined", domainOf(VM));
      await a.event("defined", domainOf(VM));
      expect(await tokens()).to.equal(1);
    });

    it("keeps them through a migration that fails", async () => {
      await a.snapshot([domainOf(VM)]);
      await authorize(db.database, VM, "a");
      await b.event("started", domainOf(VM, "incoming"));
      await b.event("undefined", domainOf(VM));
      expect(await tokens()).to.equal(1);
    });

    it("deletes them when the orchestrator moves an instance that no agent claims", async () => {
      await registry.register(registrationOf(VM, { host: "x" }));
      await authorize(db.database, VM, "x");
      await registry.update(VM, { host: "y" });
      expect(await tokens()).to.equal(0);
    });

    it("keeps those of other instances", async () => {
      await a.snapshot([domainOf(VM), domainOf(uuidOf(2))]);
      await authorize(db.database, uuidOf(2), "a");
      await a.event("stopped", domainOf(VM, "shut-off"));
      await b.event("started", domainOf(VM));
      expect(await tokens()).to.equal(1);
    });
  });

  describe("of a registered instance", () => {
    it("takes the orchestrator's host while no agent claims the domain", async () => {
      const instance = await registry.register(registrationOf(VM, { host: "x" }));
      expect(instance).to.include({ host: "x", claimed: false, registered: true });
    });

    it("takes the agent's host as soon as one claims it", async () => {
      await registry.register(registrationOf(VM, { host: "x" }));
      await a.event("started", domainOf(VM));
      expect(await stored(registry, VM)).to.include({ host: "a", claimed: true });
    });

    it("ignores the orchestrator's host in a registration while an agent claims the domain", async () => {
      await a.snapshot([domainOf(VM)]);
      expect(await registry.register(registrationOf(VM, { host: "x", name: "web" }))).to.include({
        host: "a",
        name: "web",
      });
    });

    it("keeps its host when the domain is undefined, and the orchestrator may set another then", async () => {
      await a.snapshot([domainOf(VM)]);
      await registry.register(registrationOf(VM));
      await a.event("undefined", domainOf(VM));
      expect(await stored(registry, VM)).to.include({ host: "a", claimed: false, powerState: undefined });
      expect(await registry.update(VM, { host: "y" })).to.include({ host: "y" });
    });

    it("keeps the orchestrator's columns whatever the domain's metadata says", async () => {
      await registry.register(registrationOf(VM, { name: "web", projectId: "p1", userId: "u1" }));
      await a.event("started", domainOf(VM, "running", { owner: { name: "x", projectId: "x", userId: "x" } }));
      expect(await stored(registry, VM)).to.include({ name: "web", projectId: "p1", userId: "u1" });
    });
  });

  describe("of an instance that only agents know", () => {
    const owner = { name: "db-1", projectId: "p9", userId: "u9" };

    it("fills name, project and user from the domain's metadata where it is trusted", async () => {
      await a.snapshot([domainOf(VM, "running", { owner })]);
      expect(await stored(registry, VM)).to.include({ name: "db-1", projectId: "p9", userId: "u9" });
    });

    it("takes the domain's name and no project where metadata is not trusted", async () => {
      const strict = registryOn(db.database, { trustDomainMetadata: false });
      const c = await TestAgent.connect(strict, "c");
      await c.snapshot([domainOf(VM, "running", { owner })]);
      expect(await stored(strict, VM)).to.include({ name: "instance-1", projectId: "", userId: "" });
    });

    it("removes it 30 s after the last host has undefined it, not earlier, with its tokens", async () => {
      await a.snapshot([domainOf(VM)]);
      await authorize(db.database, VM, "a");
      await a.event("undefined", domainOf(VM));
      expect(await sweep("undefined instances")).to.equal(0);
      await db.sql("update instances set undefined_at = undefined_at - interval '29 seconds'");
      expect(await sweep("undefined instances")).to.equal(0);
      await db.sql("update instances set undefined_at = undefined_at - interval '1 second'");
      expect(await sweep("undefined instances")).to.equal(1);
      expect(await registry.findFresh(VM)).to.equal(undefined);
      expect(registry.find(VM)).to.equal(undefined);
      expect(await tokens()).to.equal(0);
    });

    it("keeps it when another host claims it within that time", async () => {
      await a.snapshot([domainOf(VM)]);
      await a.event("undefined", domainOf(VM));
      await b.event("defined", domainOf(VM, "shut-off"));
      await db.sql("update instances set undefined_at = undefined_at - interval '1 minute'");
      expect(await sweep("undefined instances")).to.equal(0);
    });

    it("keeps it when it is registered within that time", async () => {
      await a.snapshot([domainOf(VM)]);
      await a.event("undefined", domainOf(VM));
      await registry.register(registrationOf(VM));
      await db.sql("update instances set undefined_at = undefined_at - interval '1 minute'");
      expect(await sweep("undefined instances")).to.equal(0);
    });
  });

  describe("of a deleted instance", () => {
    it("leaves a tombstone that snapshots and events do not revive", async () => {
      await a.snapshot([domainOf(VM)]);
      await registry.delete(VM, ACTOR);
      await a.snapshot([domainOf(VM, "paused")]);
      await b.event("started", domainOf(VM));
      expect(await registry.findFresh(VM)).to.equal(undefined);
      expect(registry.find(VM)).to.equal(undefined);
    });

    it("leaves a tombstone that knows no host, whatever agents say of the domain", async () => {
      await a.snapshot([domainOf(VM)]);
      await registry.delete(VM, ACTOR);
      await b.event("started", domainOf(VM));
      const rows = await db.sql("select host, claimed, name, deleted_at is not null as deleted from instances");
      expect(rows).to.deep.equal([{ host: null, claimed: false, name: "", deleted: true }]);
    });

    it("comes back with empty columns when it is registered again, on the host that has it", async () => {
      await registry.register(registrationOf(VM, { name: "web", projectId: "p1", taskState: "deleting" }));
      await registry.delete(VM, ACTOR);
      await a.event("started", domainOf(VM));
      const revived = await registry.register(registrationOf(VM, { name: "new" }));
      expect(revived).to.include({ name: "new", projectId: "", taskState: "", host: "a", claimed: true });
      expect(registry.find(VM)).to.include({ name: "new" });
    });

    it("forgets the tombstone after seven days, not earlier; a domain that is still there can come back then", async () => {
      await a.snapshot([domainOf(VM)]);
      await registry.delete(VM, ACTOR);
      await db.sql("update instances set deleted_at = deleted_at - interval '6 days 23 hours'");
      expect(await sweep("tombstones")).to.equal(0);
      await db.sql("update instances set deleted_at = deleted_at - interval '1 hour'");
      expect(await sweep("tombstones")).to.equal(1);
      await a.snapshot([domainOf(VM)]);
      expect(await stored(registry, VM)).to.include({ host: "a" });
    });
  });

  async function sweep(name: string): Promise<number> {
    const task = registry.sweepTasks().find((candidate) => candidate.name === name)!;
    return db.database.transaction((querier) => task.run(querier));
  }
});
