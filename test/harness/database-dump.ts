// SPDX-License-Identifier: Apache-2.0
import { runStatement } from "./test-database.js";

/** Everything that the tables of a database hold, as text. */
export async function dumpDatabase(url: string): Promise<string> {
  const tables = await runStatement<{ name: string }>(
    url,
    "select quote_ident(tablename) as name from pg_tables where schemaname = 'public' order by 1",
  );
  const rows = await Promise.all(tables.map(({ name }) => runStatement(url, `select t::text as row from ${name} t`)));
  return JSON.stringify(rows);
}
