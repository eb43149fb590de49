// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import type { ChannelClose, ChannelCounts, OpenedChannel } from "../../../src/sessions/channel-store.js";
import { ACTOR, registryOn, uuidOf } from "../../harness/inventory.js";
import {
  auditOf,
  beginSession,
  channelStore,
  CONTROLLER,
  openChannel,
  placeInstance,
  requireChannel,
  sessionStore,
  storedSession,
} from "../../harness/stored-sessions.js";
import { TestDatabase } from "../../harness/test-database.js";

const VM = uuidOf(1);

function countsOf({ channelId, session }: OpenedChannel, more: Partial<ChannelCounts> = {}): ChannelCounts {
  const { sessionId } = session;
  const nothing = { type: undefined, number: undefined, bytesToMachine: 0, bytesToViewer: 0, idleMs: undefined };
  return { channelId, sessionId, ...nothing, ...more };
}

function closeOf(opened: OpenedChannel, more: Partial<ChannelClose> = {}): ChannelClose {
  return { ...countsOf(opened), reason: "VIEWER_LEFT", ...more };
}

describe("Channels", () => {
  let db: TestDatabase;

  before(async () => {
    db = await TestDatabase.create();
  });

  beforeEach(async () => {
    await db.clear();
    await placeInstance(db, VM);
  });

  after(() => db.stop());

  async function beat(age = "0 s"): Promise<void> {
    await db.sql(
      `insert into controllers (controller_id, heartbeat_at) values ($1, now() - $2::interval)
       on conflict on constraint controllers_pkey do update set heartbeat_at = excluded.heartbeat_at`,
      [CONTROLLER, age],
    );
  }

  describe("open", () => {
    it("lets in who proves the session, and records it", async () => {
      const begun = await beginSession(db, VM);
      const opened = await requireChannel(channelStore(db), begun);
      expect(opened).to.deep.include({ currentHost: "a", hasMain: false, remainingMs: undefined });
      expect(opened.session).to.deep.equal({ ...begun.session, openChannels: 1 });
      expect(await storedSession(db, begun.session)).to.deep.include({ open_channels: 1, empty: false });
      const audit = await db.sql(
        `select action, subject, project_id, request_id, client_address, channel_id from audit_events
         where action = 'channel-opened'`,
      );
      const who = { subject: "alice", project_id: "p1", request_id: "req-3", client_address: "192.0.2.8" };
      expect(audit).to.deep.equal([{ action: "channel-opened", ...who, channel_id: opened.channelId }]);
    });

    it("refuses a wrong proof, an unknown session, and one that has ended or expired", async () => {
      const begun = await beginSession(db, VM);
      const channels = channelStore(db);
      expect(await openChannel(channels, { ...begun, proof: "other" })).to.equal(undefined);
      expect(await openChannel(channels, { ...begun, session: { ...begun.session, sessionId: "x" } })).to.equal(
        undefined,
      );
      await db.sql("update console_sessions set expires_at = now()");
      expect(await openChannel(channels, begun)).to.equal(undefined);
      await db.sql("update console_sessions set expires_at = null");
      await sessionStore(db).end([begun.session.sessionId], "TERMINATED", ACTOR);
      expect(await openChannel(channels, begun)).to.equal(undefined);
      expect(await db.sql("select from session_channels")).to.deep.equal([]);
    });

    it("lets in exactly as many as are allowed, however many come at once through two controllers", async () => {
      const begun = await beginSession(db, VM);
      const stores = [channelStore(db), channelStore(db, { controllerId: "controller-2" })];
      const attempts = Array.from({ length: 20 }, () => stores.map((store) => openChannel(store, begun))).flat();
      const opened = (await Promise.all(attempts)).filter((channel) => channel !== undefined);
      expect(opened).to.have.length(32);
      expect(await db.sql("select from session_channels")).to.have.length(32);
      await channelStore(db).close([closeOf(opened[0] as OpenedChannel)]);
      await requireChannel(channelStore(db), begun);
    });

    it("says where the instance is now, when the session ends, and whether there is a main channel", async () => {
      const begun = await beginSession(db, VM, { maxLengthS: 100 });
      const channels = channelStore(db);
      const main = await requireChannel(channels, begun);
      await channels.sync([countsOf(main, { type: 1, number: 0 })], []);
      await db.sql("update instances set host = 'b'");
      const next = await requireChannel(channels, begun);
      expect(next).to.deep.include({ currentHost: "b", hasMain: true });
      expect(next.remainingMs).to.be.within(90_000, 100_000);
      await channels.close([closeOf(main)]);
      await registryOn(db.database).delete(VM, ACTOR);
      expect(await requireChannel(channels, begun)).to.deep.include({ currentHost: undefined, hasMain: false });
    });
  });

  describe("close", () => {
    it("writes the last counts, why, and when the session became empty", async () => {
      const begun = await beginSession(db, VM);
      const channels = channelStore(db);
      const [one, two] = [await requireChannel(channels, begun), await requireChannel(channels, begun)];
      const counts = { type: 3, number: 1, bytesToMachine: 5, bytesToViewer: 6, idleMs: 60_000 };
      expect(await channels.close([closeOf(one, { ...counts, reason: "VIEWER_SILENT" })])).to.deep.equal([
        { channelId: one.channelId, sessionId: begun.session.sessionId, instanceUuid: VM, reason: "VIEWER_SILENT" },
      ]);
      expect(await storedSession(db, begun.session)).to.deep.include({ open_channels: 1, empty: false });
      await channels.close([closeOf(two)]);
      expect(await storedSession(db, begun.session)).to.deep.include({ open_channels: 0, empty: true });
      const found = await sessionStore(db).find(begun.session.sessionId);
      expect(found?.channels[0]).to.deep.include({
        channelId: one.channelId,
        type: 3,
        number: 1,
        bytesToMachine: 5n,
        bytesToViewer: 6n,
        closeReason: "VIEWER_SILENT",
        controllerId: CONTROLLER,
      });
      expect(Date.now() - (found?.lastInputAt?.getTime() ?? 0)).to.be.within(59_000, 65_000);
      expect((await auditOf(db, begun.session)).slice(-2)).to.deep.equal([
        { action: "channel-closed", reason: "VIEWER_SILENT" },
        { action: "channel-closed", reason: "VIEWER_LEFT" },
      ]);
    });

    it("does nothing the second time", async () => {
      const begun = await beginSession(db, VM);
      const channels = channelStore(db);
      const opened = await requireChannel(channels, begun);
      await requireChannel(channels, begun);
      await channels.close([closeOf(opened)]);
      expect(await channels.close([closeOf(opened, { reason: "VIEWER_SILENT" })])).to.deep.equal([]);
      expect((await storedSession(db, begun.session)).open_channels).to.equal(1);
      expect((await auditOf(db, begun.session)).filter(({ action }) => action === "channel-closed")).to.have.length(1);
    });

    it("and open do not block each other, whatever the order", async () => {
      const sessions = await Promise.all(Array.from({ length: 6 }, () => beginSession(db, VM)));
      const stores = [channelStore(db), channelStore(db, { controllerId: "controller-2" })];
      const rounds = Array.from({ length: 8 }, async (_, round) => {
        const store = stores[round % 2] ?? channelStore(db);
        const order = round % 3 === 0 ? sessions : sessions.toReversed();
        const opened = await Promise.all(order.map((begun) => requireChannel(store, begun)));
        await store.sync(
          opened.map((channel) => countsOf(channel, { idleMs: 1 })),
          [],
        );
        await store.close(opened.map((channel) => closeOf(channel)));
      });
      await Promise.all(rounds);
      expect(await db.sql("select from console_sessions where open_channels = 0")).to.have.length(6);
    });
  });

  describe("sync", () => {
    it("writes counts and says which sessions have ended", async () => {
      const [one, two] = [await beginSession(db, VM), await beginSession(db, VM)];
      const channels = channelStore(db);
      const opened = await requireChannel(channels, one);
      const ids = [one.session.sessionId, two.session.sessionId];
      expect(await channels.sync([], ids)).to.deep.equal([]);
      await sessionStore(db).end([two.session.sessionId], "TERMINATED", ACTOR);
      const ended = { sessionId: two.session.sessionId, reason: "TERMINATED" };
      expect(await channels.sync([], ids)).to.deep.equal([ended]);
      expect(await channels.sync([countsOf(opened, { bytesToViewer: 2 ** 40, idleMs: 0 })], ids)).to.deep.equal([
        ended,
      ]);
      const found = await sessionStore(db).find(one.session.sessionId);
      expect(found?.channels[0]?.bytesToViewer).to.equal(2n ** 40n);
      expect(found?.lastInputAt).to.be.instanceOf(Date);
      await channels.sync([countsOf(opened, { idleMs: 50_000 })], ids);
      expect((await sessionStore(db).find(one.session.sessionId))?.lastInputAt).to.deep.equal(found?.lastInputAt);
    });
  });

  describe("of a controller that is gone", () => {
    it("are closed by whoever notices, those of a living one are not", async () => {
      const begun = await beginSession(db, VM);
      await requireChannel(channelStore(db), begun);
      await requireChannel(channelStore(db, { controllerId: "unknown" }), begun);
      await db.sql("update session_channels set opened_at = now() - interval '1 minute'");
      await beat();
      const others = channelStore(db, { controllerId: "controller-2" });
      expect((await others.closeForsaken(db.database)).map(({ reason }) => reason)).to.deep.equal(["CONTROLLER_GONE"]);
      await beat("25 s");
      expect(await others.closeForsaken(db.database)).to.have.length(1);
      expect(await storedSession(db, begun.session)).to.deep.include({
        open_channels: 0,
        empty: true,
        end_reason: null,
      });
    });

    it("are not closed while its first heartbeat may be on its way", async () => {
      await requireChannel(channelStore(db), await beginSession(db, VM));
      expect(await channelStore(db).closeForsaken(db.database)).to.deep.equal([]);
    });

    it("are open again when it turns out to be alive, unless their session has ended", async () => {
      const [one, two] = [await beginSession(db, VM), await beginSession(db, VM)];
      const channels = channelStore(db);
      const opened = [await requireChannel(channels, one), await requireChannel(channels, two)];
      const left = await requireChannel(channels, one);
      await channels.close([closeOf(left)]);
      await db.sql("update session_channels set opened_at = now() - interval '1 minute'");
      await channels.closeForsaken(db.database);
      await sessionStore(db).end([two.session.sessionId], "TERMINATED", ACTOR);
      await channels.reopen([...opened, left].map((channel) => countsOf(channel)));
      expect(await storedSession(db, one.session)).to.deep.include({ open_channels: 1, empty: false });
      expect(await storedSession(db, two.session)).to.deep.include({ open_channels: 0, empty: true });
      await channels.close(opened.map((channel) => closeOf(channel)));
      expect(await storedSession(db, one.session)).to.deep.include({ open_channels: 0, empty: true });
    });
  });

  it("that nobody heard of are closed after a while", async () => {
    const begun = await beginSession(db, VM);
    const channels = channelStore(db);
    const [known] = [await requireChannel(channels, begun), await requireChannel(channels, begun)];
    await requireChannel(channelStore(db, { controllerId: "controller-2" }), begun);
    expect(await channels.closeLost([])).to.deep.equal([]);
    await db.sql("update session_channels set opened_at = now() - interval '1 minute'");
    expect(await channels.closeLost([known.channelId])).to.have.length(1);
    expect((await storedSession(db, begun.session)).open_channels).to.equal(2);
  });
});
