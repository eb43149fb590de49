// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { hashProof } from "../../../src/sessions/session-proof.js";
import { ConsoleTokenStore } from "../../../src/tokens/console-token-store.js";
import { hashToken } from "../../../src/tokens/token.js";
import { ACTOR, authorize, registryOn, uuidOf } from "../../harness/inventory.js";
import { dumpRows } from "../../harness/schema-dump.js";
import { beginSession, placeInstance, redeem, sessionBeginnings } from "../../harness/stored-sessions.js";
import { TestDatabase, whileLocked } from "../../harness/test-database.js";

const VM = uuidOf(1);

describe("Redeeming a token", () => {
  let db: TestDatabase;

  before(async () => {
    db = await TestDatabase.create();
  });

  beforeEach(async () => {
    await db.clear();
    await placeInstance(db, VM);
  });

  after(() => db.stop());

  it("makes a session of it, with its audit row, in the words of token, instance and viewer", async () => {
    const { session } = await beginSession(db, VM);
    expect(session).to.deep.include({
      instanceUuid: VM,
      instanceName: "vm",
      projectId: "p1",
      host: "a",
      consoleType: "spice-html5",
      subject: "alice",
      clientAddress: "192.0.2.7",
      openChannels: 0,
      endedBy: "",
      endedAt: undefined,
      expiresAt: undefined,
    });
    expect(Buffer.from(session.sessionId, "base64url")).to.have.length(16);
    const audit = await db.sql(
      `select a.action, a.subject, a.project_id, a.request_id, a.client_address, a.instance_uuid, a.host, a.console_type
       from audit_events a join console_sessions s using (session_id) join console_auth_tokens t on t.id = a.token_id
       where s.token_id = t.id and a.action <> 'issued'`,
    );
    const who = { subject: "alice", project_id: "p1", request_id: "req-2", client_address: "192.0.2.7" };
    expect(audit).to.deep.equal([
      { action: "redeemed", ...who, instance_uuid: VM, host: "a", console_type: "spice-html5" },
    ]);
  });

  it("keeps neither token nor proof", async () => {
    const { token } = await authorize(db.database, VM, "a");
    const begun = await redeem(sessionBeginnings(db), token, VM);
    const rows = await dumpRows(db.url);
    expect(rows).to.include(hashProof(begun?.proof ?? ""));
    expect(rows).not.to.include(begun?.proof);
    expect(rows).not.to.include(token);
  });

  it("works for exactly one of ten at the same instant", async () => {
    const { token } = await authorize(db.database, VM, "a");
    const store = sessionBeginnings(db);
    const outcomes = await Promise.all(Array.from({ length: 10 }, () => redeem(store, token, VM)));
    expect(outcomes.filter((begun) => begun !== undefined)).to.have.length(1);
    expect(await db.sql("select from console_sessions")).to.have.length(1);
    expect((await new ConsoleTokenStore(db.database).inspect(hashToken(token)))?.state).to.equal("used");
  });

  it("refuses an expired token, another type and another host", async () => {
    const { token } = await authorize(db.database, VM, "a");
    const request = { tokenHash: hashToken(token), instanceUuid: VM, requestId: "", clientAddress: "" };
    const store = sessionBeginnings(db);
    expect(await store.redeem({ ...request, host: "a", consoleType: "novnc" })).to.equal(undefined);
    expect(await store.redeem({ ...request, host: "b", consoleType: "spice-html5" })).to.equal(undefined);
    await db.sql("update console_auth_tokens set expires = floor(extract(epoch from now()))");
    expect(await redeem(store, token, VM)).to.equal(undefined);
    expect((await new ConsoleTokenStore(db.database).inspect(hashToken(token)))?.state).to.equal("expired");
  });

  it("refuses while the instance is being deleted, and waits for a delete under way", async () => {
    const { token } = await authorize(db.database, VM, "a");
    const registry = registryOn(db.database);
    await registry.update(VM, { taskState: "deleting" });
    expect(await redeem(sessionBeginnings(db), token, VM)).to.equal(undefined);
    await registry.update(VM, { taskState: "" });
    const bury = ["update instances set deleted_at = now() where instance_uuid = $1", [VM]] as const;
    await whileLocked(db.url, bury, async (unlock) => {
      const redeeming = redeem(sessionBeginnings(db), token, VM);
      await unlock();
      expect(await redeeming).to.equal(undefined);
    });
    expect(await db.sql("select from console_sessions")).to.deep.equal([]);
  });

  it("forgets the token with the instance, not its sessions", async () => {
    await beginSession(db, VM);
    await registryOn(db.database).delete(VM, ACTOR);
    expect(await db.sql("select from console_sessions")).to.have.length(1);
  });

  describe("sets the session's end", () => {
    async function secondsLeft(times: { maxLengthS?: number; endsWithToken?: boolean }): Promise<number | null> {
      await beginSession(db, VM, times);
      const [row] = await db.sql<{ left: number | null }>(
        "select extract(epoch from expires_at - now())::float8 as left from console_sessions order by number desc limit 1",
      );
      return row?.left ?? null;
    }

    it("to never by default", async () => {
      expect(await secondsLeft({})).to.equal(null);
    });

    it("to the longest length", async () => {
      expect(await secondsLeft({ maxLengthS: 100 })).to.be.within(95, 100);
    });

    it("to the token's end where that is enforced, or the length's where that comes first", async () => {
      expect(await secondsLeft({ endsWithToken: true })).to.be.within(590, 600);
      expect(await secondsLeft({ endsWithToken: true, maxLengthS: 700 })).to.be.within(590, 600);
      expect(await secondsLeft({ endsWithToken: true, maxLengthS: 100 })).to.be.within(95, 100);
    });
  });
});
