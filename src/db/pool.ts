// SPDX-License-Identifier: Apache-2.0

// The way to Postgres. Everything here is bounded: waiting for a connection, connecting, each statement, and a
// statement that a frozen server never answers. While Postgres is away callers are told so at once and one probe looks
// for it in the background. Knows nothing of what the tables mean.

import { Kysely, PostgresDialect } from "kysely";
import pg from "pg";
import { Backoff } from "../lib/backoff.js";
import type { Clock } from "../lib/clock.js";
import { systemClock } from "../lib/clock.js";
import { pause, withDeadline } from "../lib/deadline.js";
import type { Part } from "../lib/lifecycle.js";
import { DB_CONNECT_MS, DB_POOL_SIZE, DB_QUEUE, DB_RECONNECT_BACKOFF, DB_SILENCE_MS } from "../lib/limits.js";
import type { Log } from "../lib/log.js";
import { messageOf } from "../lib/message-of.js";
import { Connection, inTransaction } from "./connection.js";
import type { Querier, Statement } from "./connection.js";
import { connectionOptions } from "./connection-options.js";
import { cutConnection } from "./cut-connection.js";
import { databaseUnavailable, serviceErrorFromPostgres, troubleOf } from "./postgres-errors.js";
import { judgeSchema } from "./schema-compat.js";
import type { SchemaCompat } from "./schema-compat.js";
import { Slots } from "./slots.js";
import type { Tables } from "./tables.js";

/** What the way to Postgres needs. */
export interface DatabaseOptions {
  /** postgresql://user@host:port/name; a password in it is used unless `password` is given. */
  readonly url: string;
  readonly password?: string | undefined;
  readonly log: Log;
  readonly clock?: Clock;
}

interface OwnPool {
  readonly pool: pg.Pool;
  readonly clients: Set<pg.PoolClient>;
}

/** For pg-pool: connections stay, however long nobody needs them. */
const NEVER = 0;

type State = "new" | "looking" | "ready" | "stopped";

/**
 * The pool. Every call fails with DATABASE_UNAVAILABLE (away, busy, not migrated) or INTERNAL (a statement of ours is
 * wrong; the cause says how). A caller waits at most for a connection, then for its statements.
 */
export class Database implements Part, Querier {
  /** For statements that are put together at run time; the same pool, bounds and errors (unmapped: see `mapped`). */
  readonly kysely: Kysely<Tables>;
  readonly #options: DatabaseOptions;
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #slots: Slots;
  readonly #stopping = new AbortController();
  readonly #listeners = new Set<() => void>();
  #own: OwnPool;
  #state: State = "new";
  #problem = "not started";
  #search: Promise<void> | undefined;

  constructor(options: DatabaseOptions) {
    this.#options = options;
    this.#log = options.log;
    this.#clock = options.clock ?? systemClock;
    this.#slots = new Slots({ slots: DB_POOL_SIZE, waiting: DB_QUEUE, waitMs: DB_CONNECT_MS }, this.#clock);
    this.#own = this.#createPool();
    const pool = { connect: async () => (await this.#acquire()).forKysely(), end: () => Promise.resolve() };
    this.kysely = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });
  }

  /**
   * Looks for Postgres once, then goes on looking in the background. Throws only where the schema is too new for this
   * program; a Postgres that is away, or not migrated yet, is waited for.
   */
  async start(): Promise<void> {
    if (this.#state !== "new") throw new Error(`cannot start while ${this.#state}`);
    this.#state = "looking";
    const tooNew = await this.#look();
    if (tooNew !== undefined) throw new Error(tooNew);
    if (!this.isReady()) this.#search ??= this.#searchOn();
  }

  /** Closes all connections, waiting for what runs no longer than a statement may take. Twice is harmless. */
  async stop(): Promise<void> {
    if (this.#state === "stopped") return;
    this.#state = "stopped";
    this.#problem = "stopped";
    this.#stopping.abort();
    this.#slots.sendAway();
    this.#listeners.clear();
    await retire(this.#own, this.#clock);
    await this.#search;
  }

  /** True while Postgres answers and the schema is one this program can use. */
  isReady(): boolean {
    return this.#state === "ready";
  }

  /** Why it is not ready, for people; empty while it is. */
  get problem(): string {
    return this.isReady() ? "" : this.#problem;
  }

  /** Calls back each time Postgres becomes usable, at once where it is; returns the way to stop that. */
  onReady(listener: () => void): () => void {
    this.#listeners.add(listener);
    if (this.isReady()) listener();
    return () => this.#listeners.delete(listener);
  }

  /** Runs one statement and returns its rows. */
  async query<Row>(statement: Statement): Promise<readonly Row[]> {
    return this.mapped(async () => {
      const connection = await this.#acquire();
      try {
        return await connection.query<Row>(statement);
      } finally {
        connection.release();
      }
    });
  }

  /** Runs `work` in one transaction (read committed): commits when it returns, rolls back when it throws. */
  async transaction<T>(work: (querier: Querier) => Promise<T>): Promise<T> {
    return this.mapped(async () => {
      const connection = await this.#acquire();
      try {
        return await inTransaction(connection, work);
      } finally {
        connection.release();
      }
    });
  }

  /** Runs kysely statements with the errors of this class. */
  async mapped<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw serviceErrorFromPostgres(error);
    }
  }

  async #acquire(): Promise<Connection> {
    if (!this.isReady()) throw databaseUnavailable(new Error(this.#problem));
    if (!(await this.#slots.take())) throw databaseUnavailable(new Error("too many callers wait for a connection"));
    const own = this.#own;
    try {
      const client = await own.pool.connect();
      const done = (): void => this.#slots.give();
      return new Connection(client, { done, failed: (error) => this.#noteFailure(own, error) });
    } catch (error) {
      this.#slots.give();
      this.#noteFailure(own, error);
      throw serviceErrorFromPostgres(error);
    }
  }

  /** One broken connection is reason enough to doubt all of them: they are closed, and a probe decides. */
  #noteFailure(own: OwnPool, error: unknown): void {
    if (troubleOf(error) !== "outage" || own !== this.#own || this.#state !== "ready") return;
    this.#state = "looking";
    this.#problem = messageOf(error);
    this.#log.warn({ err: error }, "lost the database");
    this.#slots.sendAway();
    this.#own = this.#createPool();
    void retire(own, this.#clock);
    this.#search = this.#searchOn();
  }

  async #searchOn(): Promise<void> {
    const backoff = new Backoff(DB_RECONNECT_BACKOFF);
    while (this.#state === "looking") {
      if (!(await pause(backoff.next(), this.#stopping.signal, this.#clock))) return;
      const tooNew = await this.#look();
      if (tooNew !== undefined) this.#log.error({ advice: tooNew }, "the schema is too new for this program");
    }
  }

  /** One probe. Returns advice where the schema is too new. */
  async #look(): Promise<string | undefined> {
    const before = this.#problem;
    try {
      const verdict = judgeSchema(await this.#readCompat());
      if (this.#state !== "looking") return undefined;
      if (verdict.kind === "usable") {
        await this.#fill();
        this.#becomeReady();
        return undefined;
      }
      this.#problem = verdict.advice;
      if (verdict.kind === "too-new") return verdict.advice;
    } catch (error) {
      this.#problem = messageOf(error);
    }
    if (this.#problem !== before) this.#log.warn({ problem: this.#problem }, "waiting for the database");
    return undefined;
  }

  /**
   * Opens all connections while it is calm: in a crowd each takes longer, and one that takes too long counts as an outage.
   * What Postgres does not give now is asked for again when it is needed.
   */
  async #fill(): Promise<void> {
    const { pool } = this.#own;
    const opened = await Promise.allSettled(Array.from({ length: DB_POOL_SIZE }, () => pool.connect()));
    for (const result of opened) if (result.status === "fulfilled") result.value.release();
  }

  #becomeReady(): void {
    // A stop may have come meanwhile.
    if (this.#state !== "looking") return;
    this.#state = "ready";
    this.#log.info("the database is there");
    for (const listener of this.#listeners) listener();
  }

  async #readCompat(): Promise<SchemaCompat | undefined> {
    const client = await this.#own.pool.connect();
    let broken = true;
    try {
      const exists = await client.query<{ found: boolean }>(`select to_regclass('schema_compat') is not null as found`);
      const text = `select version, min_reader as "minReader", pg_is_in_recovery() as "standby" from schema_compat`;
      const rows = exists.rows[0]?.found ? (await client.query<SchemaCompat & { standby: boolean }>(text)).rows : [];
      if (rows[0]?.standby) throw new Error("the server is a standby and takes no writes");
      broken = false;
      return rows[0];
    } finally {
      client.release(broken);
    }
  }

  #createPool(): OwnPool {
    const bounds = { max: DB_POOL_SIZE, idleTimeoutMillis: NEVER, allowExitOnIdle: true };
    const pool = new pg.Pool({ ...connectionOptions(this.#options), ...bounds });
    const own: OwnPool = { pool, clients: new Set() };
    pool.on("connect", (client) => {
      own.clients.add(client);
      // A connection that dies between two statements of a caller says so here and nowhere else.
      client.on("error", (error: Error) => this.#noteFailure(own, error));
    });
    pool.on("remove", (client) => own.clients.delete(client));
    pool.on("error", (error) => this.#noteFailure(own, error));
    return own;
  }
}

/** Ends a pool in an orderly way, and by force when that takes longer than any statement may. */
async function retire(own: OwnPool, clock: Clock): Promise<void> {
  const expired = (): Error => new Error("the server does not let go of its connections");
  try {
    await withDeadline({ ms: DB_SILENCE_MS, expired, clock }, () => own.pool.end());
  } catch {
    for (const client of own.clients) cutConnection(client);
  }
}
