// SPDX-License-Identifier: Apache-2.0
// Several controllers on one database: what one of them changes, the others know.
import { expect } from "chai";
import pg from "pg";
import { INSTANCES_CHANNEL } from "../../../src/instances/announcements.js";
import type { Peer } from "../../../src/instances/controller-presence.js";
import type { InstanceStep } from "../../../src/instances/instance-watches.js";
import { CONTROLLER_LEASE_MS, HEARTBEAT_INTERVAL_MS } from "../../../src/lib/limits.js";
import { reasonOf } from "../../../src/lib/service-error.js";
import { ACTOR, domainOf, registrationOf, TestAgent, uuidOf } from "../../harness/inventory.js";
import { deafen, Replica } from "../../harness/replica.js";
import { TestDatabase } from "../../harness/test-database.js";
import { until, within } from "../../harness/within.js";

const VM = uuidOf(1);
const OTHER = uuidOf(2);

describe("Controllers on one database", () => {
  let db: TestDatabase;
  let one: Replica;
  let two: Replica;

  before(async () => {
    db = await TestDatabase.create();
  });

  beforeEach(async () => {
    await db.clear();
    one = new Replica(db.url, "one");
    two = new Replica(db.url, "two");
    await Promise.all([one.start(), two.start()]);
  });

  afterEach(async () => {
    await Promise.all([one.stop(), two.stop()]);
  });

  after(async () => {
    await db.stop();
  });

  const finds = (replica: Replica, name: string): Promise<void> =>
    until(`${name} in memory`, () => replica.registry.find(VM)?.name === name);
  const sweep = (replica: Replica, name: string): Promise<number> => {
    const task = replica.registry.sweepTasks().find((each) => each.name === name)!;
    return db.database.transaction((querier) => task.run(querier));
  };

  describe("tell each other what callers change", () => {
    it("a registration, an update, and a deletion, which ends what looks at the instance", async () => {
      await one.registry.register(registrationOf(VM, { name: "a" }));
      await finds(two, "a");
      await two.registry.update(VM, { name: "b" });
      await finds(one, "b");
      await one.registry.delete(VM, ACTOR);
      await until("the deletion", () => two.deleted.length > 0);
      expect(two.registry.find(VM)).to.equal(undefined);
      await two.registry.register(registrationOf(VM, { name: "c" }));
      await finds(one, "c");
      expect([one.deleted, two.deleted]).to.deep.equal([[VM], [VM]]);
    });

    it("what a sweep removes", async () => {
      const agent = await TestAgent.connect(one.registry, "a");
      await agent.snapshot([domainOf(VM, "running", { name: "a" })]);
      await two.registry.findFresh(VM);
      await agent.event("undefined", domainOf(VM));
      await db.sql("update instances set undefined_at = now() - interval '1 hour'");
      expect(await sweep(one, "undefined instances")).to.equal(1);
      await until("the deletion", () => two.deleted.length > 0);
      expect([one.deleted, two.deleted]).to.deep.equal([[VM], [VM]]);
    });

    it("what a sweep settles, and what the end of a stream does", async () => {
      for (const settles of ["sweep", "end of a stream"]) {
        await db.clear();
        const [a, b] = [await TestAgent.connect(one.registry, "a"), await TestAgent.connect(one.registry, "b")];
        await a.snapshot([domainOf(VM)]);
        await b.snapshot([domainOf(VM)]);
        await two.registry.findFresh(VM);
        expect(two.registry.find(VM)).to.include({ host: "a", conflictHost: "b" });
        if (settles === "sweep") {
          await db.sql("delete from agent_streams where host = 'a'");
          await sweep(one, "disputes");
        } else {
          await a.disconnect();
        }
        await until(`the new owner after a ${settles}`, () => two.registry.find(VM)?.host === "b");
      }
    });

    it("nothing of what agents report, and nothing where nothing changed", async () => {
      const listener = new pg.Client({ connectionString: db.url });
      const said: string[] = [];
      listener.on("notification", ({ payload = "" }) => said.push(payload));
      await listener.connect();
      await listener.query(`listen ${INSTANCES_CHANNEL}`);
      try {
        const agent = await TestAgent.connect(one.registry, "a");
        await agent.snapshot([domainOf(VM)]);
        await agent.event("suspended", domainOf(VM, "paused"));
        await one.registry.register(registrationOf(OTHER, { name: "b" }));
        await one.registry.register(registrationOf(OTHER, { name: "b" }));
        await one.registry.update(OTHER, { name: "c" });
        await until("both changes", () => said.length === 2);
        expect(said).to.deep.equal([OTHER, OTHER]);
      } finally {
        await listener.end();
      }
    });
  });

  describe("that could not hear for a while", () => {
    beforeEach(async () => {
      await one.registry.register(registrationOf(VM, { name: "old" }));
      await one.registry.register(registrationOf(OTHER));
      await finds(two, "old");
      await until("the other one", () => two.registry.find(OTHER) !== undefined);
      await deafen(db.url, [one, two]);
    });

    it("answer with what Postgres says, and read everything before memory counts again", async () => {
      await one.registry.update(VM, { name: "new" });
      expect(two.registry.find(VM)).to.equal(undefined);
      expect(await two.registry.findFresh(VM)).to.include({ name: "new" });
      await one.registry.update(VM, { name: "newer" });
      await two.hearsAgain();
      expect(two.registry.find(VM)).to.include({ name: "newer" });
    });

    it("hear then of what was deleted meanwhile", async () => {
      await one.registry.delete(VM, ACTOR);
      await db.sql("delete from instances where instance_uuid = $1", [OTHER]);
      await two.hearsAgain();
      expect(two.deleted.sort()).to.deep.equal([VM, OTHER]);
    });

    it("tell of a deletion that a request has come upon, once", async () => {
      await one.registry.delete(VM, ACTOR);
      expect(await two.registry.findFresh(VM)).to.equal(undefined);
      expect(two.deleted).to.deep.equal([VM]);
      await two.hearsAgain();
      expect(two.deleted).to.deep.equal([VM]);
    });

    it("begin no watch, and go on with those that run", async () => {
      await two.hearsAgain();
      const gone = new AbortController();
      const steps = two.registry.watch(() => true, gone.signal);
      const next = async (): Promise<InstanceStep | undefined> =>
        (await within("a step", steps.next())).value ?? undefined;
      while ((await next())?.kind !== "synced");
      await deafen(db.url, [two]);
      expect(() => two.registry.watch(() => true, gone.signal))
        .to.throw()
        .and.satisfy(isIncomplete);
      await one.registry.update(VM, { name: "new" });
      await one.registry.delete(OTHER, ACTOR);
      await two.hearsAgain();
      expect(await next()).to.have.nested.property("instance.name", "new");
      expect(await next()).to.deep.equal({ kind: "removed", uuid: OTHER });
      gone.abort();
    });
  });

  describe("know of each other", () => {
    const peersOf = (...ids: readonly string[]): readonly Peer[] =>
      ids.map((id) => ({ controllerId: id, address: `${id}:1` }));
    const knows = (replica: Replica, ...ids: readonly string[]): Promise<void> =>
      until(`${replica.controllerId} to know ${ids.join()}`, () => {
        return JSON.stringify(replica.presence.peers()) === JSON.stringify(peersOf(...ids));
      });

    it("as soon as one comes or goes, each change told once", async () => {
      await knows(one, "one", "two");
      await knows(two, "one", "two");
      const told: (readonly Peer[])[] = [];
      one.presence.onPeers((peers) => told.push(peers));
      const three = new Replica(db.url, "three");
      await three.start();
      await Promise.all([knows(one, "one", "three", "two"), knows(two, "one", "three", "two")]);
      await three.stop();
      await Promise.all([knows(one, "one", "two"), knows(two, "one", "two")]);
      expect(told).to.deep.equal([peersOf("one", "three", "two"), peersOf("one", "two")]);
    });

    it("after a beat, where one has come or died without a word", async () => {
      const beat = async (): Promise<void> => {
        await until("the rest between two beats", () => one.beatClock.waiting > 0);
        one.beatClock.advance(HEARTBEAT_INTERVAL_MS);
      };
      await knows(one, "one", "two");
      await db.sql("insert into controllers (controller_id, advertise) values ('three', 'three:1')");
      await beat();
      await knows(one, "one", "three", "two");
      const age = `update controllers set heartbeat_at = now() - $1::integer * interval '1 ms' where controller_id = 'three'`;
      await db.sql(age, [CONTROLLER_LEASE_MS]);
      await beat();
      await knows(one, "one", "two");
    });

    it("not of those that nobody could reach", async () => {
      await db.sql("insert into controllers (controller_id) values ('silent')");
      one.beatClock.advance(HEARTBEAT_INTERVAL_MS);
      await until("its next beat", () => one.beatClock.waiting > 0);
      await knows(one, "one", "two");
    });
  });

  it("count to how many of them a host's agent is connected, dead ones left out", async () => {
    await TestAgent.connect(one.registry, "a");
    await TestAgent.connect(two.registry, "a");
    const counted = async (): Promise<unknown> => {
      const { items } = await one.registry.listHosts({ size: 0, token: "" });
      return items.map(({ connected, connectedControllers }) => [connected, connectedControllers]);
    };
    expect(await counted()).to.deep.equal([[true, 2]]);
    await db.sql("update controllers set heartbeat_at = now() - interval '1 hour' where controller_id = 'one'");
    expect(await counted()).to.deep.equal([[true, 1]]);
  });
});

function isIncomplete(error: unknown): boolean {
  return reasonOf(error) === "INVENTORY_INCOMPLETE";
}
