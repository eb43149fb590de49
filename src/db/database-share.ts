// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/clock.js";
import type { Querier, Statement } from "./connection.js";
import { databaseUnavailable } from "./postgres-errors.js";
import type { SlotBounds } from "./slots.js";
import { Slots } from "./slots.js";

/**
 * A part of the database's connections, with a queue of its own: whoever crowds here is in nobody else's way. A statement
 * that gets no turn in time fails with DATABASE_UNAVAILABLE.
 */
export class DatabaseShare implements Querier {
  readonly #database: Querier;
  readonly #slots: Slots;

  constructor(database: Querier, bounds: SlotBounds, clock?: Clock) {
    this.#database = database;
    this.#slots = new Slots(bounds, clock);
  }

  /** Runs one statement and returns its rows. */
  query<Row>(statement: Statement): Promise<readonly Row[]> {
    return this.run(() => this.#database.query<Row>(statement));
  }

  /** Runs work that holds one connection at a time, in this share. */
  run<T>(work: () => Promise<T>): Promise<T> {
    const crowded = (): Error => databaseUnavailable(new Error("too many of its kind wait for a connection"));
    return this.#slots.run(work, crowded);
  }
}
