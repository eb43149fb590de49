// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { DatabaseShare } from "../../../src/db/database-share.js";
import type { Querier } from "../../../src/db/connection.js";
import { ServiceError } from "../../../src/lib/service-error.js";
import { rejectionOf } from "../../harness/rejection.js";

const STATEMENT = { text: "select 1" };

/** A database whose statements end when the test says so. */
class SlowDatabase implements Querier {
  readonly running: { readonly end: () => void; readonly fail: (error: Error) => void }[] = [];

  query<Row>(): Promise<readonly Row[]> {
    return new Promise((resolve, reject) => this.running.push({ end: () => resolve([]), fail: reject }));
  }
}

/** Lets everything that can go on do so. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("DatabaseShare", () => {
  it("has no more statements under way than its share, and runs the others in turn", async () => {
    const database = new SlowDatabase();
    const share = new DatabaseShare(database, { slots: 2, waiting: 10, waitMs: 1_000 });
    const all = Promise.all([share.query(STATEMENT), share.query(STATEMENT), share.query(STATEMENT)]);
    await settled();
    expect(database.running).to.have.length(2);
    database.running[0]?.end();
    await settled();
    expect(database.running).to.have.length(3);
    for (const { end } of database.running) end();
    await all;
  });

  it("gives the place of a statement that failed to the next one", async () => {
    const database = new SlowDatabase();
    const share = new DatabaseShare(database, { slots: 1, waiting: 10, waitMs: 1_000 });
    const failing = rejectionOf(share.query(STATEMENT));
    const next = share.query(STATEMENT);
    await settled();
    database.running[0]?.fail(new Error("no"));
    expect((await failing).message).to.equal("no");
    await settled();
    database.running[1]?.end();
    await next;
  });

  it("answers DATABASE_UNAVAILABLE to whom it has no place for, not even in the queue", async () => {
    const database = new SlowDatabase();
    const share = new DatabaseShare(database, { slots: 1, waiting: 0, waitMs: 1_000 });
    const first = share.query(STATEMENT);
    const error = await rejectionOf(share.query(STATEMENT));
    expect(error).to.be.instanceOf(ServiceError).with.property("reason", "DATABASE_UNAVAILABLE");
    database.running[0]?.end();
    await first;
  });
});
