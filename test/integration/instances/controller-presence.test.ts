// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { ControllerPresence } from "../../../src/instances/controller-presence.js";
import type { InstanceRegistry } from "../../../src/instances/instance-registry.js";
import { CONTROLLER_LEASE_MS, HEARTBEAT_INTERVAL_MS, HEARTBEATS_PER_SYNC } from "../../../src/lib/limits.js";
import { FakeClock } from "../../fakes/fake-clock.js";
import { FakeLog } from "../../fakes/fake-log.js";
import { registryOn, TestAgent } from "../../harness/inventory.js";
import { TestDatabase } from "../../harness/test-database.js";

describe("ControllerPresence", () => {
  let db: TestDatabase;
  let registry: InstanceRegistry;
  let clock: FakeClock;
  let log: FakeLog;
  let presence: ControllerPresence;

  before(async () => {
    db = await TestDatabase.create();
  });

  beforeEach(async () => {
    await db.clear();
    registry = registryOn(db.database, { controllerId: "c1" });
    clock = new FakeClock();
    log = new FakeLog();
    const streams = (): ReturnType<InstanceRegistry["streams"]> => registry.streams();
    presence = new ControllerPresence({
      database: db.database,
      log: log.log,
      controllerId: "c1",
      advertise: () => "10.0.0.1:50052",
      streams,
      clock,
    });
    presence.start();
    await until("select from controllers where advertise = '10.0.0.1:50052'", 1);
  });

  afterEach(async () => {
    await presence.stop();
  });

  after(async () => {
    await db.stop();
  });

  /** Waits until a statement finds as many rows. */
  async function until(text: string, count: number): Promise<void> {
    const start = performance.now();
    while ((await db.sql(text)).length !== count) {
      if (performance.now() - start > 5_000) throw new Error(`not ${count} rows: ${text}`);
    }
  }

  async function beats(count: number): Promise<void> {
    for (let beat = 0; beat < count; beat += 1) {
      await db.sql("update controllers set heartbeat_at = now() - interval '1 hour'");
      clock.advance(HEARTBEAT_INTERVAL_MS);
      await until("select from controllers where heartbeat_at > now() - interval '1 minute'", 1);
      while (clock.waiting === 0) await new Promise((resolve) => setImmediate(resolve));
    }
  }

  it("beats every five seconds", async () => {
    await beats(3);
  });

  it("says once that another controller has its address, which a former run of it has only for a while", async () => {
    await db.sql("insert into controllers (controller_id, advertise) values ('c2', '10.0.0.1:50052')");
    const beat = async (): Promise<void> => {
      await db.sql("update controllers set heartbeat_at = now() where controller_id = 'c2'");
      clock.advance(HEARTBEAT_INTERVAL_MS);
      while (clock.waiting === 0) await new Promise((resolve) => setImmediate(resolve));
    };
    for (let time = 0; time <= CONTROLLER_LEASE_MS; time += HEARTBEAT_INTERVAL_MS) await beat();
    expect(log.at("warn")).to.deep.equal([]);
    await beat();
    await beat();
    expect(log.at("warn").map(({ address }) => address)).to.deep.equal(["10.0.0.1:50052"]);
  });

  it("makes good what Postgres missed of its streams", async () => {
    const kept = await TestAgent.connect(registry, "kept");
    await db.sql("delete from agent_streams");
    await db.sql("insert into hosts (host, process_id) values ('ghost', 'x'), ('young', 'x')");
    await db.sql(
      `insert into agent_streams (host, controller_id, generation, connected_at)
       values ('ghost', 'c1', 1, now() - interval '1 minute'), ('young', 'c1', 1, now())`,
    );
    await beats(HEARTBEATS_PER_SYNC);
    await until("select from agent_streams where host = 'ghost'", 0);
    const rows = await db.sql("select host, stream_id from agent_streams where host <> 'young'");
    expect(rows).to.deep.equal([{ host: "kept", stream_id: kept.stream.streamId }]);
    await until("select from agent_streams where host = 'young'", 1);
  });

  it("takes itself and its streams out when it stops, which may come twice", async () => {
    await TestAgent.connect(registry, "a");
    await presence.stop();
    await presence.stop();
    expect(await db.sql("select from controllers")).to.deep.equal([]);
    expect(await db.sql("select from agent_streams")).to.deep.equal([]);
  });

  it("is forgotten with its streams after an hour of silence, not earlier", async () => {
    await TestAgent.connect(registry, "a");
    const task = registry.sweepTasks().find(({ name }) => name === "dead controllers")!;
    await db.sql("update controllers set heartbeat_at = now() - interval '59 minutes'");
    expect(await db.database.transaction((querier) => task.run(querier))).to.equal(0);
    await db.sql("update controllers set heartbeat_at = now() - interval '61 minutes'");
    expect(await db.database.transaction((querier) => task.run(querier))).to.equal(1);
    expect(await db.sql("select from agent_streams")).to.deep.equal([]);
  });
});

describe("A stream that ends", () => {
  let db: TestDatabase;

  before(async () => {
    db = await TestDatabase.create();
  });

  after(async () => {
    await db.stop();
  });

  it("removes only itself, not the one that has replaced it", async () => {
    const registry = registryOn(db.database);
    const old = await TestAgent.connect(registry, "a");
    const next = await TestAgent.connect(registry, "a");
    await old.disconnect();
    expect(registry.streams()).to.deep.equal([next.stream]);
    const rows = await db.sql("select stream_id from agent_streams");
    expect(rows).to.deep.equal([{ stream_id: next.stream.streamId }]);
  });
});
