// SPDX-License-Identifier: Apache-2.0
import { readdir } from "node:fs/promises";
import { Kysely, Migrator, PostgresDialect } from "kysely";
import type { Migration, MigrationProvider } from "kysely";
import pg from "pg";
import { MIGRATE_CONNECT_MS } from "../lib/limits.js";
import type { Log } from "../lib/log.js";
import { connectionString } from "./connection-options.js";
import type { DatabaseAddress } from "./connection-options.js";

/** The compiled migrations beside the compiled program. */
const FOLDER = new URL("../../migrations/", import.meta.url);

/**
 * Brings the schema up to date; run by `spicegate migrate` and by nobody else. Several at once are harmless: one works,
 * the others wait and find nothing to do. Each migration is one transaction; throws the error of the one that failed.
 * Returns the names of those it applied.
 */
export async function migrate(address: DatabaseAddress, log: Log): Promise<readonly string[]> {
  const pool = new pg.Pool({
    connectionString: connectionString(address),
    connectionTimeoutMillis: MIGRATE_CONNECT_MS,
    application_name: "spicegate migrate",
    max: 1,
  });
  pool.on("error", (error) => log.warn({ err: error }, "lost the database"));
  const db = new Kysely<unknown>({ dialect: new PostgresDialect({ pool }) });
  try {
    return await migrateAll(db, log);
  } finally {
    await db.destroy();
  }
}

async function migrateAll(db: Kysely<unknown>, log: Log): Promise<readonly string[]> {
  const migrator = new Migrator({ db, provider: { getMigrations } });
  const { error, results = [] } = await migrator.migrateToLatest();
  const applied = results.filter((result) => result.status === "Success").map((result) => result.migrationName);
  for (const migration of applied) log.info({ migration }, "migrated");
  if (error !== undefined) throw error instanceof Error ? error : new Error("the migration failed", { cause: error });
  if (applied.length === 0) log.info("the schema is up to date");
  return applied;
}

const getMigrations: MigrationProvider["getMigrations"] = async () => {
  const files = (await readdir(FOLDER)).filter((file) => /^\d{4}_\w+\.js$/.test(file));
  const load = async (file: string): Promise<[string, Migration]> => [
    file.slice(0, -".js".length),
    (await import(new URL(file, FOLDER).href)) as Migration,
  ];
  return Object.fromEntries(await Promise.all(files.sort().map(load)));
};
