// SPDX-License-Identifier: Apache-2.0
import { readFile, writeFile } from "node:fs/promises";
import { expect } from "chai";
import { migrate } from "../../../src/db/migrate.js";
import { Database } from "../../../src/db/pool.js";
import { SCHEMA_VERSION } from "../../../src/db/schema-compat.js";
import { silentLog } from "../../../src/lib/log.js";
import { reasonOf } from "../../../src/lib/service-error.js";
import { rejectionOf } from "../../harness/rejection.js";
import { dumpSchema } from "../../harness/schema-dump.js";
import { createDatabase, runStatement } from "../../harness/test-database.js";

/** In the sources, not in dist. */
const COMMITTED = new URL("../../../../test/integration/schema.sql", import.meta.url);

describe("Schema", () => {
  it("is the committed one (UPDATE_SCHEMA=1 writes it anew)", async () => {
    const schema = await dumpSchema(await createDatabase());
    if (process.env["UPDATE_SCHEMA"] === "1") await writeFile(COMMITTED, schema);
    expect(schema).to.equal(await readFile(COMMITTED, "utf8"));
  });

  it("names every constraint", async () => {
    const rows = await runStatement<{ name: string }>(
      await createDatabase(),
      `select conname as name from pg_constraint where connamespace = 'public'::regnamespace and contype <> 'n'
         and conrelid::regclass::text not like 'kysely%'`,
    );
    expect(rows.map(({ name }) => name).filter((name) => !/_(pkey|fkey|key|check)$/.test(name))).to.deep.equal([]);
    expect(rows.length).to.be.greaterThan(10);
  });

  it("knows no port 0 and no port -1", async () => {
    const url = await createDatabase();
    const insert = `insert into console_auth_tokens (token_hash, console_type, host, port, tls_port, instance_uuid, expires)
      values (gen_random_uuid(), 'spice-html5', 'h', $1, $2, gen_random_uuid(), 1)`;
    for (const port of [0, -1, 65_536]) {
      await rejectionOf(runStatement(url, insert, [port, null]));
      await rejectionOf(runStatement(url, insert, [null, port]));
    }
    await runStatement(url, insert, [null, 65_535]);
    await runStatement(url, insert, [1, null]);
  });

  describe("migrate", () => {
    it("does nothing the second time", async () => {
      const url = await createDatabase("empty");
      expect(await migrate({ url }, silentLog)).to.have.length(SCHEMA_VERSION);
      expect(await migrate({ url }, silentLog)).to.deep.equal([]);
    });

    it("works once when six run at the same time", async () => {
      const url = await createDatabase("empty");
      const runs = await Promise.all(Array.from({ length: 6 }, () => migrate({ url }, silentLog)));
      expect(runs.flat()).to.have.length(SCHEMA_VERSION);
      expect(await dumpSchema(url)).to.equal(await readFile(COMMITTED, "utf8"));
    });

    it("leaves the version that the program needs", async () => {
      const rows = await runStatement(await createDatabase(), "select version from schema_compat");
      expect(rows).to.deep.equal([{ version: SCHEMA_VERSION }]);
    });

    it("says why it failed, and leaves nothing half done", async () => {
      const url = await createDatabase("empty");
      await runStatement(url, "create table console_auth_tokens (mine integer)");
      expect(await rejectionOf(migrate({ url }, silentLog))).to.have.property("code", "42P07");
      const tables = await runStatement(url, "select from pg_tables where tablename in ('hosts', 'instances')");
      expect(tables).to.deep.equal([]);
    });
  });

  describe("and a program", () => {
    it("is refused at the start when the schema needs a newer program", async () => {
      const url = await createDatabase();
      await runStatement(url, "update schema_compat set version = version + 5, min_reader = $1", [SCHEMA_VERSION + 1]);
      const database = new Database({ url, log: silentLog });
      expect((await rejectionOf(database.start())).message).to.match(/upgrade/);
      await database.stop();
    });

    it("is served by a newer schema that older programs can live with", async () => {
      const url = await createDatabase();
      await runStatement(url, "update schema_compat set version = version + 5");
      const database = new Database({ url, log: silentLog });
      await database.start();
      expect(database.isReady()).to.equal(true);
      await database.stop();
    });

    it("waits for the migration where there is none, refuses meanwhile, and goes on by itself", async () => {
      const url = await createDatabase("empty");
      const database = new Database({ url, log: silentLog });
      await database.start();
      expect(database.isReady()).to.equal(false);
      expect(database.problem).to.match(/spicegate migrate/);
      expect(reasonOf(await rejectionOf(database.query({ text: "select 1" })))).to.equal("DATABASE_UNAVAILABLE");
      const ready = new Promise<void>((resolve) => database.onReady(resolve));
      await migrate({ url }, silentLog);
      await ready;
      await database.query({ text: "select 1" });
      await database.stop();
    });

    it("waits where the schema is older than the program", async () => {
      const url = await createDatabase();
      await runStatement(url, "update schema_compat set version = $1", [SCHEMA_VERSION - 1]);
      const database = new Database({ url, log: silentLog });
      await database.start();
      expect(database.isReady()).to.equal(false);
      await database.stop();
    });
  });
});
