// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { Sweep } from "../../../src/db/sweep.js";
import { PURGE_BATCH, PURGE_INTERVAL_MS } from "../../../src/lib/limits.js";
import { silentLog } from "../../../src/lib/log.js";
import { FakeClock } from "../../fakes/fake-clock.js";
import { TestDatabase } from "../../harness/test-database.js";

describe("Sweep", () => {
  let db: TestDatabase;

  before(async () => {
    db = await TestDatabase.create();
  });

  after(async () => {
    await db.stop();
  });

  it("goes on with a task while its batches are full, then with the next task", async () => {
    const sizes = [PURGE_BATCH, PURGE_BATCH, 3];
    const ran: string[] = [];
    const first = { name: "first", run: () => Promise.resolve((ran.push("first"), sizes.shift() ?? 0)) };
    const second = { name: "second", run: () => Promise.resolve((ran.push("second"), 0)) };
    await new Sweep({ database: db.database, log: silentLog, tasks: [first, second] }).round();
    expect(ran).to.deep.equal(["first", "first", "first", "second"]);
  });

  it("goes on with the next task when one fails", async () => {
    const ran: string[] = [];
    const failing = { name: "failing", run: () => Promise.reject(new Error("no")) };
    const next = { name: "next", run: () => Promise.resolve((ran.push("next"), 0)) };
    await new Sweep({ database: db.database, log: silentLog, tasks: [failing, next] }).round();
    expect(ran).to.deep.equal(["next"]);
  });

  it("leaves a batch to the controller that already sweeps", async () => {
    let inner = 0;
    const counting = { name: "counting", run: () => Promise.resolve((inner += 1)) };
    const other = new Sweep({ database: db.database, log: silentLog, tasks: [counting] });
    const outer = { name: "outer", run: () => other.round().then(() => 0) };
    await new Sweep({ database: db.database, log: silentLog, tasks: [outer] }).round();
    expect(inner).to.equal(0);
    await other.round();
    expect(inner).to.equal(1);
  });

  it("runs once an interval until it is stopped", async () => {
    const clock = new FakeClock();
    let ran: () => void = () => undefined;
    const run = (): Promise<number> => Promise.resolve((ran(), 0));
    const sweep = new Sweep({ database: db.database, log: silentLog, tasks: [{ name: "task", run }], clock });
    sweep.start();
    for (let round = 0; round < 2; round += 1) {
      const next = new Promise<void>((resolve) => (ran = resolve));
      await waitFor(() => clock.waiting === 1);
      clock.advance(PURGE_INTERVAL_MS);
      await next;
    }
    await sweep.stop();
    await sweep.stop();
    expect(clock.waiting).to.be.at.most(1);
  });
});

async function waitFor(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}
