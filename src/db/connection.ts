// SPDX-License-Identifier: Apache-2.0
import type { PostgresPoolClient, PostgresQueryResult } from "kysely";
import type pg from "pg";
import { troubleOf } from "./postgres-errors.js";

/** A statement. With a name it is parsed and planned once per connection; the name must belong to that one text. */
export interface Statement {
  readonly name?: string;
  readonly text: string;
  readonly values?: readonly unknown[];
}

/** What runs statements: the pool, or a transaction. */
export interface Querier {
  /** Runs one statement and returns its rows. */
  query<Row>(statement: Statement): Promise<readonly Row[]>;
}

/** Who hears of a connection's end. */
export interface ConnectionOwner {
  /** Called once, at release. */
  readonly done: () => void;
  /** Called for each error of a statement. */
  readonly failed: (error: unknown) => void;
}

/** A client while it is out of the pool. One whose connection broke is closed at release instead of going back. */
export class Connection implements Querier {
  readonly #client: pg.PoolClient;
  readonly #owner: ConnectionOwner;
  #broken = false;

  constructor(client: pg.PoolClient, owner: ConnectionOwner) {
    this.#client = client;
    this.#owner = owner;
  }

  /** Runs one statement. Errors are the driver's own. */
  async query<Row>(statement: Statement): Promise<readonly Row[]> {
    return (await this.#run<Row>(statement)).rows;
  }

  /** The same connection as kysely's dialect wants to see it. */
  forKysely(): PostgresPoolClient {
    const query = <Row>(text: string, values: readonly unknown[]): Promise<PostgresQueryResult<Row>> =>
      this.#run<Row>({ text, values });
    return { query: query as PostgresPoolClient["query"], release: () => this.release() };
  }

  /** Ends a transaction that failed. Where even that fails, the connection is not used again. */
  async rollBack(): Promise<void> {
    try {
      if (!this.#broken) await this.#client.query("rollback");
    } catch {
      this.#broken = true;
    }
  }

  /** Once. */
  release(): void {
    this.#client.release(this.#broken);
    this.#owner.done();
  }

  async #run<Row>(statement: Statement): Promise<PostgresQueryResult<Row>> {
    try {
      const result = await this.#client.query({ ...statement, values: [...(statement.values ?? [])] });
      return {
        command: result.command as PostgresQueryResult<Row>["command"],
        rowCount: result.rowCount ?? 0,
        rows: result.rows as Row[],
      };
    } catch (error) {
      // After an outage, a deadline of the client's among them, the statement may still occupy the connection.
      if (troubleOf(error) === "outage") this.#broken = true;
      this.#owner.failed(error);
      throw error;
    }
  }
}

/** Runs `work` between begin and commit; any error, its own included, rolls back and is thrown on. */
export async function inTransaction<T>(connection: Connection, work: (querier: Querier) => Promise<T>): Promise<T> {
  await connection.query({ text: "begin" });
  try {
    const result = await work(connection);
    await connection.query({ text: "commit" });
    return result;
  } catch (error) {
    await connection.rollBack();
    throw error;
  }
}
