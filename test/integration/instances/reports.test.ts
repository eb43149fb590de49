// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { waitUntil } from "../../../demo/wait-until.js";
import type { InstanceRegistry } from "../../../src/instances/instance-registry.js";
import { DB_POOL_SIZE, INVENTORY_DB_CONNECTIONS, MAX_DOMAINS_PER_HOST } from "../../../src/lib/limits.js";
import { reasonOf } from "../../../src/lib/service-error.js";
import { domainOf, helloOf, registryOn, stored, TestAgent, uuidOf } from "../../harness/inventory.js";
import { rejectionOf } from "../../harness/rejection.js";
import { countWaiting, TestDatabase, whileLocked } from "../../harness/test-database.js";

const VM = uuidOf(1);

describe("Reports of agents", () => {
  let db: TestDatabase;
  let registry: InstanceRegistry;
  let a: TestAgent;

  before(async () => {
    db = await TestDatabase.create();
  });

  beforeEach(async () => {
    await db.clear();
    registry = registryOn(db.database);
    a = await TestAgent.connect(registry, "a");
  });

  after(async () => {
    await db.stop();
  });

  describe("Hello", () => {
    it("gives parallel Hellos of one process the same generation, through any controller", async () => {
      const controllers = Array.from({ length: 8 }, () => registryOn(db.database));
      const streams = await Promise.all(controllers.map((each) => each.welcomeHost(helloOf("new"))));
      expect(new Set(streams.map(({ generation }) => generation))).to.deep.equal(new Set([1n]));
      expect(new Set(streams.map(({ streamId }) => streamId)).size).to.equal(8);
    });

    it("gives the same process the same generation again, and another process the next", async () => {
      expect((await registry.welcomeHost(helloOf("a", "1"))).generation).to.equal(1n);
      expect((await registry.welcomeHost(helloOf("a", "2"))).generation).to.equal(2n);
    });

    it("gives a process that comes back after another one a new generation, so that its reports count", async () => {
      await registry.welcomeHost(helloOf("a", "2"));
      const back = await TestAgent.connect(registry, "a", "1");
      expect(back.stream.generation).to.equal(3n);
      expect(await back.snapshot([domainOf(VM)])).to.equal("applied");
    });

    it("lets in each of many that come at once, those of one host one after the other", async () => {
      const hellos = Array.from({ length: 200 }, (_, index) => helloOf(`crowd-${index % 150}`, String(index)));
      const streams = await Promise.all(hellos.map((hello) => registry.welcomeHost(hello)));
      expect(streams.map(({ host }) => host)).to.deep.equal(hellos.map(({ host }) => host));
      for (const second of streams.slice(150)) {
        const first = streams.find(({ host }) => host === second.host)!;
        expect(second.generation).to.equal(first.generation + 1n);
        expect(second.streamId > first.streamId, "the later one has the newer stream").to.equal(true);
      }
    });
  });

  describe("snapshots", () => {
    it("that wait for the database keep no agent that joins waiting", async () => {
      const hosts = Array.from({ length: 2 * DB_POOL_SIZE }, (_, index) => `slow-${index}`);
      const agents = await Promise.all(hosts.map((host) => TestAgent.connect(registry, host)));
      let snapshots: Promise<unknown> = Promise.resolve();
      await whileLocked(db.url, ["lock table domain_claims in exclusive mode"], async (unlock) => {
        snapshots = Promise.all(agents.map((agent, index) => agent.snapshot([domainOf(uuidOf(100 + index))])));
        const waiting = async (): Promise<boolean> => (await countWaiting(db.url)) === INVENTORY_DB_CONNECTIONS;
        await waitUntil(waiting, { ms: 5_000, what: "snapshots to wait" });
        await TestAgent.connect(registry, "late");
        expect(await countWaiting(db.url), "those that still wait").to.equal(INVENTORY_DB_CONNECTIONS);
        await unlock();
      });
      expect(await snapshots).to.deep.equal(agents.map(() => "applied"));
    });

    it("replace everything the host had said", async () => {
      await a.snapshot([domainOf(uuidOf(1)), domainOf(uuidOf(2))]);
      await a.snapshot([domainOf(uuidOf(2)), domainOf(uuidOf(3))]);
      expect(await stored(registry, uuidOf(1))).to.include({ claimed: false });
      expect(await stored(registry, uuidOf(2))).to.include({ claimed: true });
      expect(await stored(registry, uuidOf(3))).to.include({ claimed: true });
    });

    it("do not write rows that do not change", async () => {
      await a.snapshot([domainOf(VM)]);
      const rows = (): Promise<readonly unknown[]> =>
        db.sql(
          "select i.xmin as i, c.xmin as c, i.revision from instances i join domain_claims c using (instance_uuid)",
        );
      const before = await rows();
      await a.snapshot([domainOf(VM)]);
      expect(await rows()).to.deep.equal(before);
    });

    it("change nothing when an older number comes late", async () => {
      await a.snapshot([domainOf(VM)], 5n);
      expect(await a.snapshot([], 4n)).to.equal("stale");
      expect(await stored(registry, VM)).to.include({ claimed: true });
    });

    it("apply again with the same number, which the counter keeps while nothing happens", async () => {
      await a.snapshot([domainOf(VM)], 5n);
      expect(await a.snapshot([domainOf(VM, "paused")], 5n)).to.equal("applied");
      expect(await stored(registry, VM)).to.include({ powerState: "paused" });
    });

    it("apply with a lower number when the process is a new one", async () => {
      await a.snapshot([domainOf(VM)], 500n);
      const next = await TestAgent.connect(registry, "a", "2");
      expect(await next.snapshot([], 1n)).to.equal("applied");
      expect(await stored(registry, VM)).to.include({ claimed: false });
    });

    it("of a process that another one has replaced are superseded", async () => {
      await TestAgent.connect(registry, "a", "2");
      expect(await a.snapshot([domainOf(VM)])).to.equal("superseded");
      expect(await registry.findFresh(VM)).to.equal(undefined);
      expect(registry.isHostComplete("a")).to.equal(false);
    });

    it("do not undo events that are newer", async () => {
      await a.snapshot([domainOf(uuidOf(1)), domainOf(uuidOf(2))], 1n);
      await a.event("undefined", domainOf(uuidOf(1)), 8n);
      await a.event("suspended", domainOf(uuidOf(2), "paused"), 9n);
      await a.event("started", domainOf(uuidOf(3)), 10n);
      await a.snapshot([domainOf(uuidOf(1)), domainOf(uuidOf(2))], 7n);
      expect(await stored(registry, uuidOf(1))).to.include({ claimed: false });
      expect(await stored(registry, uuidOf(2))).to.include({ powerState: "paused" });
      expect(await stored(registry, uuidOf(3))).to.include({ claimed: true });
    });

    it("change nothing through a second controller, but fill its memory", async () => {
      await a.snapshot([domainOf(VM)], 3n);
      const second = registryOn(db.database);
      const again = new TestAgent(second, await second.welcomeHost(helloOf("a")));
      await again.snapshot([domainOf(VM)], 3n);
      expect(second.find(VM)).to.deep.equal(registry.find(VM));
      expect(second.isHostComplete("a")).to.equal(true);
    });

    it("bring the memory up to date on instances that have left the host meanwhile", async () => {
      await a.snapshot([domainOf(VM)]);
      const second = registryOn(db.database);
      const b = await TestAgent.connect(second, "b");
      await b.snapshot([domainOf(VM)]);
      await db.sql("delete from domain_claims where host = 'a'");
      await b.snapshot([domainOf(VM)]);
      await b.event("suspended", domainOf(VM, "paused"));
      expect(registry.find(VM)).to.include({ host: "a" });
      await a.snapshot([]);
      expect(registry.find(VM)).to.include({ host: "b", powerState: "paused" });
    });

    it("count a domain that is named twice once", async () => {
      expect(await a.snapshot([domainOf(VM, "shut-off"), domainOf(VM)])).to.equal("applied");
      expect(await stored(registry, VM)).to.include({ powerState: "running" });
    });

    it("take as many domains as a host may have", async function () {
      this.timeout(30_000);
      const domains = Array.from({ length: MAX_DOMAINS_PER_HOST }, (_, n) => domainOf(uuidOf(n)));
      expect(await a.snapshot(domains)).to.equal("applied");
      expect(await a.snapshot(domains)).to.equal("applied");
      expect(await a.snapshot([])).to.equal("applied");
      expect(await db.sql("select count(*)::integer as n from instances where not claimed")).to.deep.equal([
        { n: 10_000 },
      ]);
    });

    it("of two hosts about the same instances do not block each other for good", async () => {
      const b = await TestAgent.connect(registry, "b");
      const domains = Array.from({ length: 50 }, (_, n) => domainOf(uuidOf(n)));
      const turns = Array.from({ length: 3 }, () => [a.snapshot(domains), b.snapshot([...domains].reverse())]).flat();
      expect(new Set(await Promise.all(turns))).to.not.include("superseded");
      expect(registry.conflictCount()).to.equal(50);
    });
  });

  describe("events", () => {
    it("change nothing when they carry no newer number than the last snapshot", async () => {
      await a.snapshot([], 5n);
      expect(await a.event("started", domainOf(VM), 5n)).to.equal("stale");
      expect(await registry.findFresh(VM)).to.equal(undefined);
    });

    it("change nothing the second time", async () => {
      expect(await a.event("started", domainOf(VM), 7n)).to.equal("applied");
      expect(await a.event("started", domainOf(VM), 7n)).to.equal("stale");
    });

    it("do not bring back a domain that a newer event has undefined", async () => {
      await a.event("defined", domainOf(VM), 6n);
      await a.event("undefined", domainOf(VM), 8n);
      expect(await a.event("started", domainOf(VM), 7n)).to.equal("stale");
      expect(await stored(registry, VM)).to.include({ claimed: false });
    });

    it("do not bring back a domain that a newer snapshot lacks", async () => {
      await a.event("defined", domainOf(VM), 6n);
      await a.snapshot([], 8n);
      expect(await a.event("started", domainOf(VM), 7n)).to.equal("stale");
      expect(await stored(registry, VM)).to.include({ claimed: false });
    });

    it("count in the order of their numbers when they arrive in another", async () => {
      await a.event("resumed", domainOf(VM, "running"), 9n);
      await a.event("suspended", domainOf(VM, "paused"), 8n);
      expect(await stored(registry, VM)).to.include({ powerState: "running" });
    });

    it("of a process that another one has replaced are superseded", async () => {
      await TestAgent.connect(registry, "a", "2");
      expect(await a.event("started", domainOf(VM), 99n)).to.equal("superseded");
      expect(await registry.findFresh(VM)).to.equal(undefined);
    });

    it("change nothing through a second controller, but reach its memory", async () => {
      const second = registryOn(db.database);
      const again = new TestAgent(second, await second.welcomeHost(helloOf("a")));
      await a.event("started", domainOf(VM), 7n);
      expect(await again.event("started", domainOf(VM), 7n)).to.equal("stale");
      expect(second.find(VM)).to.include({ host: "a" });
    });

    for (const kind of ["stopped", "crashed", "migrated"] as const) {
      it(`mean by ${kind} that a domain which cannot be described any more is gone`, async () => {
        await a.event("started", domainOf(VM));
        await a.event(kind, domainOf(VM, "unknown"));
        expect(await stored(registry, VM)).to.include({ claimed: false });
      });
    }

    it("are refused with a number that no counter reaches", async () => {
      expect(reasonOf(await rejectionOf(a.event("started", domainOf(VM), 2n ** 63n)))).to.equal("INVALID_ARGUMENT");
    });
  });
});
