// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { EmbeddedPostgres } from "../../../demo/embedded-postgres.js";
import { migrate } from "../../../src/db/migrate.js";
import { Database } from "../../../src/db/pool.js";
import { DB_CONNECT_MS, DB_POOL_SIZE, DB_QUEUE, DB_SILENCE_MS, DB_STATEMENT_MS } from "../../../src/lib/limits.js";
import { silentLog } from "../../../src/lib/log.js";
import { reasonOf, ServiceError } from "../../../src/lib/service-error.js";
import { rejectionOf } from "../../harness/rejection.js";
import { createDatabase } from "../../harness/test-database.js";

/** What a busy machine may add to a bound. */
const SLACK_MS = 1_500;

interface Timed {
  readonly reason: string;
  readonly ms: number;
}

/** Runs something that may fail and says how it ended and after how long. */
async function timed(work: Promise<unknown>): Promise<Timed> {
  const start = performance.now();
  const reason = await work.then(
    () => "OK",
    (error: unknown) => reasonOf(error),
  );
  return { reason, ms: performance.now() - start };
}

describe("Database", () => {
  describe("while Postgres lives", () => {
    let database: Database;

    beforeEach(async () => {
      database = new Database({ url: await createDatabase(), log: silentLog });
      await database.start();
    });

    afterEach(async () => {
      await database.stop();
    });

    it("returns rows, bigint columns as bigint", async () => {
      const rows = await database.query({
        name: "one",
        text: "select $1::bigint as n, true as yes",
        values: [2n ** 60n],
      });
      expect(rows).to.deep.equal([{ n: 2n ** 60n, yes: true }]);
    });

    it("has opened all its connections before it is ready, so that a crowd waits for none", async () => {
      const text = "select count(*)::integer as count from pg_stat_activity where datname = current_database()";
      expect(await database.query({ text })).to.deep.equal([{ count: DB_POOL_SIZE }]);
    });

    it("keeps what a transaction did when it returns, nothing when it throws", async () => {
      const insert = { text: "insert into controllers (controller_id) values ($1)" };
      await database.transaction((querier) => querier.query({ ...insert, values: ["kept"] }));
      const failure = new ServiceError("INSTANCE_NOT_FOUND", "no");
      const failed = database.transaction(async (querier) => {
        await querier.query({ ...insert, values: ["lost"] });
        throw failure;
      });
      expect(await rejectionOf(failed)).to.equal(failure);
      const rows = await database.query({ text: "select controller_id as id from controllers" });
      expect(rows).to.deep.equal([{ id: "kept" }]);
    });

    it("takes a wrong statement for a bug, hides it from the caller, and stays ready", async () => {
      const error = await rejectionOf(database.query({ text: "select nonsense" }));
      expect(error).to.include({ reason: "INTERNAL" });
      expect(error.message).to.not.include("nonsense");
      expect(error.cause).to.have.property("code", "42703");
      expect(database.isReady()).to.equal(true);
    });

    it("cancels a statement at its time-out and stays ready", async () => {
      const { reason, ms } = await timed(database.query({ text: "select pg_sleep(10)" }));
      expect(reason).to.equal("DATABASE_UNAVAILABLE");
      expect(ms).to.be.within(DB_STATEMENT_MS - 50, DB_SILENCE_MS + SLACK_MS);
      expect(database.isReady()).to.equal(true);
    });

    it("lets callers wait for a connection no longer than a second, and stays ready", async () => {
      const busy = Array.from({ length: DB_POOL_SIZE }, () => database.query({ text: "select pg_sleep(1.7)" }));
      const { reason, ms } = await timed(database.query({ text: "select 1" }));
      expect(reason).to.equal("DATABASE_UNAVAILABLE");
      expect(ms).to.be.within(DB_CONNECT_MS - 50, DB_CONNECT_MS + SLACK_MS);
      await Promise.all(busy);
      expect(database.isReady()).to.equal(true);
      expect((await timed(database.query({ text: "select 1" }))).reason).to.equal("OK");
    });

    it("refuses at once when too many wait already", async () => {
      const many = DB_POOL_SIZE + DB_QUEUE;
      const all = Array.from({ length: many }, () => timed(database.query({ text: "select pg_sleep(0.02)" })));
      const { reason, ms } = await timed(database.query({ text: "select 1" }));
      expect(reason).to.equal("DATABASE_UNAVAILABLE");
      expect(ms).to.be.lessThan(200);
      expect((await Promise.all(all)).filter((each) => each.reason === "OK").length).to.be.greaterThan(DB_POOL_SIZE);
    });

    it("answers at once after the stop, which may come twice", async () => {
      await database.stop();
      await database.stop();
      expect((await timed(database.query({ text: "select 1" }))).reason).to.equal("DATABASE_UNAVAILABLE");
    });
  });

  describe("while Postgres fails", function () {
    this.timeout(40_000);
    let server: EmbeddedPostgres;
    let database: Database;

    before(async () => {
      server = new EmbeddedPostgres();
      await server.start();
      await migrate({ url: server.url }, silentLog);
    });

    beforeEach(async () => {
      database = new Database({ url: server.url, log: silentLog });
      await database.start();
    });

    afterEach(async () => {
      await database.stop();
    });

    after(async () => {
      await server.stop();
    });

    /** Resolves the next time the database is usable. */
    function usable(): Promise<void> {
      return new Promise((resolve) => database.onReady(resolve));
    }

    /** Callers one after the other until one gets an answer that is not OK. */
    async function firstFailure(): Promise<Timed> {
      for (;;) {
        const result = await timed(database.query({ text: "select 1" }));
        if (result.reason !== "OK") return result;
      }
    }

    it("survives kill -9 under load, answers at once meanwhile, and recovers by itself", async () => {
      const load = Array.from({ length: 8 }, () => firstFailure());
      await database.query({ text: "select 1" });
      server.kill("SIGKILL");
      for (const { reason, ms } of await Promise.all(load)) {
        expect(reason).to.equal("DATABASE_UNAVAILABLE");
        expect(ms).to.be.lessThan(DB_SILENCE_MS + SLACK_MS);
      }
      const meanwhile = await timed(database.query({ text: "select 1" }));
      expect(meanwhile.reason).to.equal("DATABASE_UNAVAILABLE");
      expect(meanwhile.ms).to.be.lessThan(100);
      await server.start();
      await usable();
      expect((await timed(database.query({ text: "select 1" }))).reason).to.equal("OK");
    });

    it("notices that Postgres went while nobody asked", async () => {
      await database.query({ text: "select 1" });
      server.kill("SIGKILL");
      const start = performance.now();
      while (database.isReady() && performance.now() - start < 5_000)
        await new Promise((resolve) => setImmediate(resolve));
      expect(database.isReady()).to.equal(false);
      await server.start();
      await usable();
    });

    it("lets nobody wait longer than a statement may take while Postgres is frozen, and recovers by itself", async () => {
      await Promise.all(Array.from({ length: DB_POOL_SIZE }, () => database.query({ text: "select 1" })));
      server.kill("SIGSTOP");
      const hurt = await Promise.all(Array.from({ length: 50 }, () => timed(database.query({ text: "select 1" }))));
      for (const { reason, ms } of hurt) {
        expect(reason).to.equal("DATABASE_UNAVAILABLE");
        expect(ms).to.be.lessThan(DB_SILENCE_MS + SLACK_MS);
      }
      const meanwhile = await timed(database.query({ text: "select 1" }));
      expect(meanwhile.reason).to.equal("DATABASE_UNAVAILABLE");
      expect(meanwhile.ms).to.be.lessThan(100);
      server.kill("SIGCONT");
      await usable();
      expect((await timed(database.query({ text: "select 1" }))).reason).to.equal("OK");
    });

    it("ends a transaction that Postgres leaves without an answer", async () => {
      const result = timed(
        database.transaction(async (querier) => {
          await querier.query({ text: "select 1" });
          server.kill("SIGSTOP");
          await querier.query({ text: "select 2" });
        }),
      );
      const { reason, ms } = await result;
      server.kill("SIGCONT");
      expect(reason).to.equal("DATABASE_UNAVAILABLE");
      expect(ms).to.be.lessThan(DB_SILENCE_MS + SLACK_MS);
      await usable();
    });

    it("stops within a bounded time while Postgres is frozen", async () => {
      await database.query({ text: "select 1" });
      server.kill("SIGSTOP");
      const { reason, ms } = await timed(database.stop());
      server.kill("SIGCONT");
      expect(reason).to.equal("OK");
      expect(ms).to.be.lessThan(DB_SILENCE_MS + SLACK_MS);
    });

    it("starts without Postgres, is not ready, and finds it when it comes", async () => {
      server.kill("SIGKILL");
      const late = new Database({ url: server.url, log: silentLog });
      const { reason, ms } = await timed(late.start());
      expect(reason).to.equal("OK");
      expect(ms).to.be.lessThan(DB_CONNECT_MS + SLACK_MS);
      expect(late.isReady()).to.equal(false);
      expect((await timed(late.query({ text: "select 1" }))).ms).to.be.lessThan(100);
      await server.start();
      await new Promise<void>((resolve) => late.onReady(resolve));
      expect((await timed(late.query({ text: "select 1" }))).reason).to.equal("OK");
      await late.stop();
    });

    it("takes the password apart from the URL", async () => {
      const url = new URL(server.url);
      const password = decodeURIComponent(url.password);
      url.password = "wrong";
      const apart = new Database({ url: url.href, password, log: silentLog });
      await apart.start();
      expect(apart.isReady()).to.equal(true);
      await apart.stop();
    });
  });
});
