// SPDX-License-Identifier: Apache-2.0
import pg from "pg";
import { DB_CONNECT_MS, DB_IDLE_IN_TRANSACTION_MS, DB_SILENCE_MS, DB_STATEMENT_MS } from "../lib/limits.js";

/** Where Postgres is. */
export interface DatabaseAddress {
  /** postgresql://user@host:port/name; a password in it is used unless `password` is given. */
  readonly url: string;
  readonly password?: string | undefined;
}

const INT8 = 20;

/** The driver's options for one connection of the running program: every step has a deadline. */
export function connectionOptions(address: DatabaseAddress): pg.ClientConfig {
  return {
    connectionString: connectionString(address),
    connectionTimeoutMillis: DB_CONNECT_MS,
    query_timeout: DB_SILENCE_MS,
    statement_timeout: DB_STATEMENT_MS,
    idle_in_transaction_session_timeout: DB_IDLE_IN_TRANSACTION_MS,
    application_name: "spicegate",
    keepAlive: true,
    types,
  };
}

/** The URL with the password in it. */
export function connectionString({ url, password }: DatabaseAddress): string {
  if (password === undefined) return url;
  const whole = new URL(url);
  // As a parameter, since a URL of a unix socket has no place for it; it wins over the one before the @.
  whole.searchParams.set("password", password);
  return whole.href;
}

/** As the driver's own, except that bigint columns are bigint and not text. */
const types: pg.CustomTypesConfig = {
  getTypeParser: (oid: number, format?: string): unknown =>
    oid === INT8 && format !== "binary" ? BigInt : (pg.types.getTypeParser as AnyParser)(oid, format),
};

type AnyParser = (oid: number, format?: string) => unknown;
