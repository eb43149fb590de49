// SPDX-License-Identifier: Apache-2.0
import pg from "pg";
import { EmbeddedPostgres } from "../../demo/embedded-postgres.js";
import { migrate } from "../../src/db/migrate.js";
import { Database } from "../../src/db/pool.js";
import { silentLog } from "../../src/lib/log.js";
import { stopAtEnd } from "./shared-parts.js";

// One server for each process of a run, started before the first test of the first file that imports this; one migrated
// template in it; a database of its own for each file, cloned from the template.

const TEMPLATE = "spicegate_template";

let server: Promise<EmbeddedPostgres> | undefined;
let databases = 0;

/** The server that all databases of the process live in. Tests that kill a server start one of their own. */
export function testServer(): Promise<EmbeddedPostgres> {
  server ??= startServer();
  return server;
}

async function startServer(): Promise<EmbeddedPostgres> {
  const postgres = new EmbeddedPostgres();
  try {
    await postgres.start();
    await runStatement(postgres.url, `create database ${TEMPLATE}`);
    await migrate({ url: postgres.databaseUrl(TEMPLATE) }, silentLog);
    stopAtEnd(() => postgres.stop());
    return postgres;
  } catch (error) {
    await postgres.stop();
    throw error;
  }
}

/** Runs one statement over a connection of its own and returns its rows. */
export async function runStatement<Row extends pg.QueryResultRow>(
  url: string,
  text: string,
  values: readonly unknown[] = [],
): Promise<readonly Row[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Row>(text, [...values])).rows;
  } finally {
    await client.end();
  }
}

/** Does something while a transaction of the test's own holds the locks that a statement takes; `unlock` ends it early. */
export async function whileLocked(
  url: string,
  [text, values]: readonly [text: string, values?: readonly unknown[]],
  work: (unlock: () => Promise<void>) => Promise<void>,
): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query("begin");
    await client.query(text, values === undefined ? undefined : [...values]);
    await work(async () => {
      await client.query("commit");
    });
  } finally {
    await client.end();
  }
}

/** How many statements in a database wait for a lock. */
export async function countWaiting(url: string): Promise<number> {
  const [row] = await runStatement<{ count: number }>(
    url,
    `select count(*)::integer as count from pg_stat_activity
     where datname = current_database() and wait_event_type = 'Lock'`,
  );
  return row?.count ?? 0;
}

/** How many console tokens a database holds. */
export async function countTokens(url: string): Promise<number> {
  const [row] = await runStatement<{ count: number }>(
    url,
    "select count(*)::integer as count from console_auth_tokens",
  );
  return row?.count ?? 0;
}

/** A new database: migrated, or empty. */
export async function createDatabase(kind: "migrated" | "empty" = "migrated"): Promise<string> {
  const postgres = await testServer();
  databases += 1;
  const name = `test_${databases}`;
  const template = kind === "migrated" ? ` template ${TEMPLATE}` : "";
  await runStatement(postgres.url, `create database ${name}${template}`);
  return postgres.databaseUrl(name);
}

/** A migrated database of its own with the program's way to it. */
export class TestDatabase {
  readonly url: string;
  readonly database: Database;

  private constructor(url: string, database: Database) {
    this.url = url;
    this.database = database;
  }

  static async create(): Promise<TestDatabase> {
    return TestDatabase.over(await createDatabase());
  }

  /** The way to a migrated database on a server of the test's own. */
  static async over(url: string): Promise<TestDatabase> {
    const database = new Database({ url, log: silentLog });
    await database.start();
    return new TestDatabase(url, database);
  }

  /** Runs one statement and returns its rows. */
  sql<Row>(text: string, values: readonly unknown[] = []): Promise<readonly Row[]> {
    return this.database.query<Row>({ text, values });
  }

  /** Empties every table but the one that names the schema's version. */
  async clear(): Promise<void> {
    await this.sql(`truncate controllers, hosts, instances, instance_faults, domain_claims, agent_streams,
      console_auth_tokens, console_sessions, session_channels, audit_events, join_tokens, host_certificates, host_revocations`);
  }

  async stop(): Promise<void> {
    await this.database.stop();
  }
}

// Mocha runs this before the first test of the file that imports this first.
before("start the Postgres of the tests", async function () {
  this.timeout(60_000);
  await testServer();
});
