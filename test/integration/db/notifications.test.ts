// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { waitUntil } from "../../../demo/wait-until.js";
import { Notifications } from "../../../src/db/notifications.js";
import { NOTIFICATIONS_PROBE_MS } from "../../../src/lib/limits.js";
import { silentLog } from "../../../src/lib/log.js";
import { FakeClock } from "../../fakes/fake-clock.js";
import { Relay } from "../../harness/relay.js";
import { createDatabase, runStatement } from "../../harness/test-database.js";
import { until } from "../../harness/within.js";

const TERMINATE = `
  select pg_terminate_backend(pid) from pg_stat_activity
  where datname = current_database() and application_name = 'spicegate notifications'`;

describe("Notifications", () => {
  let url: string;
  let clock: FakeClock | undefined;
  let notifications: Notifications;
  let began: number;
  let heard: string[];

  before(async () => {
    url = await createDatabase("empty");
  });

  beforeEach(() => {
    clock = undefined;
    began = 0;
    heard = [];
  });

  afterEach(async () => {
    await notifications.stop();
  });

  function start(at = url): void {
    const time = clock === undefined ? {} : { clock };
    notifications = new Notifications({ url: at, channels: ["one", "Two words"], log: silentLog, ...time });
    notifications.onHearing(() => (began += 1));
    notifications.on("one", (payload) => heard.push(payload));
    notifications.start();
  }

  const say = (payload: string, channel = "one"): Promise<unknown> =>
    runStatement(url, "select pg_notify($1, $2)", [channel, payload]);
  const hearing = (): Promise<void> => until("hearing", () => notifications.hearing !== undefined);

  it("tells each listener what is said on its channel, once the transaction is over", async () => {
    start();
    const other: string[] = [];
    const stop = notifications.on("Two words", (payload) => other.push(payload));
    await hearing();
    expect(began).to.equal(1);
    await say("x", "Two words");
    await say("a");
    await until("the message", () => heard.length === 1);
    expect([heard, other]).to.deep.equal([["a"], ["x"]]);
    stop();
    await say("y", "Two words");
    await say("b");
    await until("the message", () => heard.length === 2);
    expect(other).to.deep.equal(["x"]);
  });

  it("says at once when it cannot hear any more, and connects again by itself", async () => {
    start();
    await hearing();
    const first = notifications.hearing;
    await runStatement(url, TERMINATE);
    await until("the loss", () => notifications.hearing !== first);
    await until("another connection", () => began === 2);
    await say("after");
    await until("the message", () => heard.length === 1);
    const late = { begun: false };
    notifications.onHearing(() => (late.begun = true));
    expect(late.begun).to.equal(true);
  });

  it("finds a connection that has gone silent, and makes another one", async function () {
    this.timeout(15_000);
    const relay = new Relay(url);
    clock = new FakeClock();
    start(await relay.start());
    await hearing();
    relay.silent = true;
    await until("its rest", () => clock!.waiting > 0);
    clock.advance(NOTIFICATIONS_PROBE_MS);
    await until("the loss", () => notifications.hearing === undefined, 10_000);
    relay.silent = false;
    const passing = setInterval(() => clock?.advance(100), 5);
    await until("another connection", () => began === 2, 10_000).finally(() => clearInterval(passing));
    relay.stop();
  });

  it("waits for a server that is not there, and stops while it does, twice", async () => {
    start("postgres://nobody@127.0.0.1:1/none");
    await Promise.all([notifications.stop(), notifications.stop()]);
    expect(notifications.hearing).to.equal(undefined);
    expect(began).to.equal(0);
  });

  it("leaves no connection behind when it stops", async () => {
    start();
    await hearing();
    await notifications.stop();
    expect(notifications.hearing).to.equal(undefined);
    const text =
      "select from pg_stat_activity where application_name = 'spicegate notifications' and datname = current_database()";
    const closed = async (): Promise<boolean> => (await runStatement(url, text)).length === 0;
    await waitUntil(closed, { ms: 5_000, what: "the end of the connection" });
  });
});
