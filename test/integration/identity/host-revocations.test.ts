// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { Notifications } from "../../../src/db/notifications.js";
import { serialOf } from "../../../src/lib/certificate-serial.js";
import { REVOCATIONS_CHANNEL } from "../../../src/identity/host-certificate-store.js";
import { HostRevocations } from "../../../src/identity/host-revocations.js";
import { DB_RECONNECT_BACKOFF, REVOCATIONS_UNHEARD_MS } from "../../../src/lib/limits.js";
import { silentLog } from "../../../src/lib/log.js";
import { ServiceError } from "../../../src/lib/service-error.js";
import { FakeClock } from "../../fakes/fake-clock.js";
import { EnrollmentStage } from "../../harness/enrollment.js";
import { ACTOR } from "../../harness/inventory.js";
import { rejectionOf } from "../../harness/rejection.js";
import { runStatement, TestDatabase } from "../../harness/test-database.js";
import { until } from "../../harness/within.js";

describe("HostRevocations", () => {
  let db: TestDatabase;
  let stage: EnrollmentStage;
  let hearingClock: FakeClock;
  let clock: FakeClock;
  let notifications: Notifications;
  let revocations: HostRevocations;
  let told: string[];
  let reads: number;

  before(async () => {
    db = await TestDatabase.create();
  });
  after(() => db.stop());

  beforeEach(async () => {
    await db.clear();
    stage = await EnrollmentStage.create(db.database);
    hearingClock = new FakeClock();
    clock = new FakeClock();
    const log = silentLog;
    notifications = new Notifications({ url: db.url, channels: [REVOCATIONS_CHANNEL], log, clock: hearingClock });
    reads = 0;
    const store = {
      revocations: async (host?: string) => {
        const rows = await stage.certificates.revocations(host);
        reads += 1;
        return rows;
      },
    };
    revocations = new HostRevocations({ store, notifications, log, clock });
    told = [];
    revocations.onRevoked((host) => told.push(host));
    notifications.start();
    revocations.start();
    await until("the first read", () => notifications.hearing !== undefined && reads > 0);
  });

  afterEach(async () => {
    await revocations.stop();
    await notifications.stop();
    stage.remove();
  });

  it("hears of a host that is revoked, and refuses its name and its certificates", async () => {
    const { x509 } = await stage.admit("host-1");
    expect(await revocations.isRefused("host-1", serialOf(x509))).to.equal(false);
    const before = performance.now();
    await stage.certificates.revoke("host-1", ACTOR);
    await until("the news", () => told.includes("host-1"));
    expect(performance.now() - before).to.be.lessThan(2_000);
    expect(await revocations.isRefused("host-1", serialOf(x509))).to.equal(true);
    expect(await revocations.isRefused("host-1", undefined)).to.equal(true);
    expect(await revocations.isRefused("host-2", undefined)).to.equal(false);
  });

  it("lets in what a host was given after it joined again, at once, and nothing that it had before", async () => {
    const first = await stage.admit("host-1");
    await stage.certificates.revoke("host-1", ACTOR);
    await until("the news", () => told.length > 0);
    const second = await stage.admit("host-1");
    expect(await revocations.isRefused("host-1", serialOf(second.x509))).to.equal(false);
    expect(await revocations.isRefused("host-1", undefined)).to.equal(false);
    expect(await revocations.isRefused("host-1", serialOf(first.x509))).to.equal(true);
  });

  it("asks Postgres nothing about a host that was never revoked", async () => {
    const before = reads;
    for (let n = 0; n < 10; n += 1) await revocations.isRefused("host-9", "1");
    expect(reads).to.equal(before);
  });

  it("says a revocation once, and a later one of the same host again", async () => {
    await stage.admit("host-1");
    await stage.certificates.revoke("host-1", ACTOR);
    await until("the news", () => told.length === 1);
    await stage.admit("host-2");
    await stage.certificates.revoke("host-2", ACTOR);
    await until("more news", () => told.length === 2);
    await stage.admit("host-1");
    await stage.certificates.revoke("host-1", ACTOR);
    await until("the last news", () => told.length === 3);
    expect(told).to.deep.equal(["host-1", "host-2", "host-1"]);
  });

  it("reads again and again where the connection has gone silent", async () => {
    await db.sql("insert into host_revocations (host, revoked_by) values ('host-1', 'alice')");
    clock.advance(REVOCATIONS_UNHEARD_MS);
    await until("the news", () => told.includes("host-1"));
    expect(notifications.hearing).to.not.equal(undefined);
  });

  it("reads again and again while it hears nothing, and all when it does", async () => {
    await stage.admit("host-1");
    await runStatement(
      db.url,
      `select pg_terminate_backend(pid) from pg_stat_activity
       where datname = current_database() and application_name = 'spicegate notifications'`,
    );
    await until("the loss", () => notifications.hearing === undefined);
    await stage.certificates.revoke("host-1", ACTOR);
    clock.advance(REVOCATIONS_UNHEARD_MS);
    await until("the news", () => told.includes("host-1"));
    await db.sql("update host_revocations set revoked_at = clock_timestamp()");
    hearingClock.advance(DB_RECONNECT_BACKOFF.mostMs);
    await until("hearing", () => notifications.hearing !== undefined && told.length === 2);
  });

  it("does not know before it has read, and says so", async () => {
    const away = new ServiceError("DATABASE_UNAVAILABLE", "away");
    const store = { revocations: () => Promise.reject(away) };
    const early = new HostRevocations({ store, notifications, log: silentLog, clock });
    expect(await rejectionOf(early.isRefused("host-1", undefined))).to.equal(away);
  });
});
