// SPDX-License-Identifier: Apache-2.0
import pg from "pg";
import type { EmbeddedPostgres } from "../../demo/embedded-postgres.js";
import { migrate } from "../../src/db/migrate.js";
import { silentLog } from "../../src/lib/log.js";

/** Makes a database with the product's tables and returns its URL. */
export async function createProductDatabase(postgres: EmbeddedPostgres, name: string): Promise<string> {
  const client = new pg.Client({ connectionString: postgres.url });
  await client.connect();
  await client.query(`create database ${name}`).finally(() => client.end());
  const url = postgres.databaseUrl(name);
  await migrate({ url }, silentLog);
  return url;
}
