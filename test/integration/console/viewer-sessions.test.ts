// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import type { OpenedSession } from "../../../src/console/viewer.js";
import { reasonOf } from "../../../src/lib/service-error.js";
import { SESSION_SYNC_MS, WHY_ENDED_MS } from "../../../src/lib/limits.js";
import { MAIN_CHANNEL } from "../../../src/sessions/local-channel.js";
import { FakeClock } from "../../fakes/fake-clock.js";
import { ACTOR, authorize, domainOf, TestAgent, uuidOf } from "../../harness/inventory.js";
import { rejectionOf } from "../../harness/rejection.js";
import { auditOf, placeInstance, storedSession } from "../../harness/stored-sessions.js";
import { TestDatabase } from "../../harness/test-database.js";
import { ViewerParts } from "../../harness/viewer-parts.js";
import type { ViewerPartsOptions } from "../../harness/viewer-parts.js";
import { until, within } from "../../harness/within.js";

const VM = uuidOf(1);
const MAIN = { connectionId: 0, type: 1, number: 0 };
const INPUTS = { connectionId: 77, type: 3, number: 0 };

describe("Sessions of viewers", () => {
  let db: TestDatabase;
  let parts: ViewerParts;
  let all: ViewerParts[];

  before(async () => {
    db = await TestDatabase.create();
  });

  beforeEach(async () => {
    await db.clear();
    await placeInstance(db, VM);
    all = [];
    parts = newParts();
  });

  afterEach(() => Promise.all(all.map((each) => each.stop())));
  after(() => db.stop());

  function newParts(options: ViewerPartsOptions = {}): ViewerParts {
    const made = new ViewerParts(db, options);
    all.push(made);
    return made;
  }

  async function begin(on = parts): Promise<OpenedSession> {
    const { token } = await authorize(db.database, VM, "a");
    return on.redeeming.execute(token, on.context());
  }

  async function reasonOfChannel({ session, proof }: OpenedSession, on = parts): Promise<string> {
    return reasonOf(await rejectionOf(on.viewers.openChannel(session.sessionId, proof, on.context())));
  }

  describe("openChannel", () => {
    it("refuses with what is wrong", async () => {
      const begun = await begin();
      expect(await reasonOfChannel({ ...begun, proof: "other" })).to.equal("SESSION_NOT_FOUND");
      for (let count = 0; count < 32; count += 1) await parts.channel(begun);
      expect(await reasonOfChannel(begun)).to.equal("LIMITED");
      await parts.endings.terminate(begun.session.sessionId, ACTOR);
      expect(await reasonOfChannel(begun)).to.equal("SESSION_ENDED");
      await parts.drain.stop();
      expect(await reasonOfChannel(begun)).to.equal("DRAINING");
    });

    it("closes at once what a viewer that has gone away asked for", async () => {
      const { session, proof } = await begin();
      const gone = new AbortController();
      const opening = parts.viewers.openChannel(session.sessionId, proof, parts.context({ signal: gone.signal }));
      gone.abort();
      expect(reasonOf(await rejectionOf(opening))).to.equal("CANCELLED");
      await parts.registry.sync();
      expect((await storedSession(db, session)).open_channels).to.equal(0);
    });
  });

  describe("connect", () => {
    it("lets main in first and then the others, on the host where the instance is now", async () => {
      const begun = await begin();
      const main = await parts.channel(begun);
      await main.channel.connect(MAIN);
      await db.sql("update instances set host = 'b'");
      await (await parts.channel(begun)).channel.connect(INPUTS);
      expect(parts.opened).to.deep.equal([
        { instanceUuid: VM, host: "a" },
        { instanceUuid: VM, host: "b" },
      ]);
      expect(await parts.metric("channels_open", { type: "main" })).to.equal(1);
      expect(await parts.metric("channels_open", { type: "inputs" })).to.equal(1);
      expect(await parts.metric("channels_open", { type: "unknown" })).to.equal(0);
      await parts.registry.sync();
      const found = await parts.sessions.find(begun.session.sessionId);
      expect(found?.channels.map(({ type, number }) => [type, number])).to.deep.equal([
        [1, 0],
        [3, 0],
      ]);
    });

    it("refuses another channel without a main one, and a main one that claims to belong to another", async () => {
      const begun = await begin();
      for (const link of [INPUTS, { ...INPUTS, connectionId: 0 }, { ...MAIN, connectionId: 5 }]) {
        const { channel } = await parts.channel(begun);
        expect(reasonOf(await rejectionOf(channel.connect(link)))).to.equal("INVALID_ARGUMENT");
      }
      expect(parts.opened).to.deep.equal([]);
    });

    it("knows of a main channel on another controller", async () => {
      const begun = await begin();
      await (await parts.channel(begun)).channel.connect(MAIN);
      const other = newParts({ controllerId: "controller-2" });
      await (await other.channel(begun)).channel.connect(INPUTS);
      expect(other.opened).to.have.length(1);
    });

    it("refuses while the instance is on no host", async () => {
      const begun = await begin();
      await db.sql("update instances set host = null");
      const { channel } = await parts.channel(begun);
      expect(reasonOf(await rejectionOf(channel.connect(MAIN)))).to.equal("INSTANCE_NOT_READY");
    });
  });

  it("counts what passes, the last input and the time to the first byte", async () => {
    const begun = await begin();
    const { channel } = await parts.channel(begun);
    await channel.connect(MAIN);
    channel.toMachine(10, false);
    channel.toViewer(20);
    channel.toViewer(5);
    await parts.registry.sync();
    expect((await storedSession(db, begun.session)).last_input_at).to.equal(null);
    channel.toMachine(1, true);
    channel.closed("VIEWER_LEFT");
    channel.closed("VIEWER_SILENT");
    await parts.registry.sync();
    const found = await parts.sessions.find(begun.session.sessionId);
    expect(found?.channels[0]).to.deep.include({ bytesToMachine: 11n, bytesToViewer: 25n, closeReason: "VIEWER_LEFT" });
    expect(found?.lastInputAt).to.be.instanceOf(Date);
    expect(await parts.metric("channel_bytes_total", { direction: "to_machine" })).to.equal(11);
    expect(await parts.metric("channel_bytes_total", { direction: "to_viewer" })).to.equal(25);
    expect(await parts.metric("channels_open")).to.equal(0);
    expect(await parts.metric("sessions_open")).to.equal(0);
    expect(parts.lines().map(({ audit }) => audit)).to.deep.equal(["redeemed", "channel-opened", "channel-closed"]);
  });

  describe("end", () => {
    it("ends the session for its viewer, on every controller", async () => {
      const begun = await begin();
      const here = await parts.channel(begun);
      const other = newParts({ controllerId: "controller-2" });
      const there = await other.channel(begun);
      await parts.viewers.end(begun.session.sessionId, begun.proof, parts.context());
      expect(await within("this controller's word", here.told)).to.deep.equal({ reason: "TERMINATED", code: 4001 });
      await other.registry.sync();
      expect(await within("the other's word", there.told)).to.deep.equal({ reason: "TERMINATED", code: 4001 });
      expect(await parts.viewers.status(begun.session.sessionId, begun.proof)).to.deep.equal({
        state: "ended",
        reason: "TERMINATED",
      });
      await parts.viewers.end(begun.session.sessionId, begun.proof, parts.context());
      const audit = await auditOf(db, begun.session);
      expect(audit.filter(({ action }) => action === "ended")).to.have.length(1);
      expect((await storedSession(db, begun.session)).ended_by).to.equal("alice");
    });

    it("refuses whoever cannot prove the session, and counts it", async () => {
      const { session } = await begin();
      const ending = parts.viewers.end(session.sessionId, "another", parts.context());
      expect(reasonOf(await rejectionOf(ending))).to.equal("SESSION_NOT_FOUND");
      expect(await parts.metric("viewer_refusals_total", { reason: "SESSION_NOT_FOUND" })).to.equal(1);
    });

    it("reaches another controller by itself within two seconds", async () => {
      const begun = await begin();
      const other = newParts({ controllerId: "controller-2" });
      const { told } = await other.channel(begun);
      other.registry.start();
      await parts.endings.terminate(begun.session.sessionId, ACTOR);
      expect((await within("the other's word", told, 2_000)).reason).to.equal("TERMINATED");
    });
  });

  describe("what happens to the instance", () => {
    let agent: TestAgent;

    beforeEach(async () => {
      agent = await TestAgent.connect(parts.instances, "a");
      await agent.snapshot([domainOf(VM)]);
    });

    for (const { kind, state, reason, code } of [
      { kind: "stopped", state: "shut-off", reason: "INSTANCE_STOPPED", code: 4002 },
      { kind: "crashed", state: "shut-off", reason: "INSTANCE_CRASHED", code: 4003 },
    ] as const) {
      it(`ends its sessions: ${kind}`, async () => {
        const begun = await begin();
        const { told, channel } = await parts.channel(begun);
        const why = channel.whyDisplayEnded();
        await agent.event(kind, domainOf(VM, state));
        expect(await within("the word", told)).to.deep.equal({ reason, code });
        expect(await why).to.deep.equal({ reason, code });
        await parts.endings.idle();
        expect((await storedSession(db, begun.session)).end_reason).to.equal(reason);
      });
    }

    it("ends its sessions when a snapshot shows that it no longer runs", async () => {
      const begun = await begin();
      await agent.snapshot([domainOf(VM, "crashed")]);
      await parts.endings.idle();
      expect((await storedSession(db, begun.session)).end_reason).to.equal("INSTANCE_CRASHED");
    });

    it("ends its sessions: deleted", async () => {
      const begun = await begin();
      const { told } = await parts.channel(begun);
      await parts.instances.delete(VM, ACTOR);
      expect(await within("the word", told)).to.deep.equal({ reason: "INSTANCE_DELETED", code: 4004 });
      await parts.endings.idle();
      expect((await storedSession(db, begun.session)).end_reason).to.equal("INSTANCE_DELETED");
    });

    it("closes their channels on the host that it leaves, and no others, when it moves", async () => {
      const begun = await begin();
      const { told } = await parts.channel(begun);
      const target = await TestAgent.connect(parts.instances, "b");
      await target.event("started", domainOf(VM, "incoming"));
      await agent.event("suspended", domainOf(VM, "incoming"));
      await target.event("resumed", domainOf(VM));
      expect(await within("the word", told)).to.deep.equal({ reason: "INSTANCE_MOVED", code: 4010 });
      const { told: toldThere } = await parts.channel(begun);
      await agent.event("migrated", domainOf(VM, "shut-off"));
      await parts.endings.idle();
      parts.agents.lose("b");
      expect(await within("the word", toldThere)).to.include({ reason: "AGENT_GONE" });
      expect((await storedSession(db, begun.session)).end_reason).to.equal(null);
    });

    it("says at once that it has moved where a display ends that was opened just before", async () => {
      const begun = await begin();
      const target = await TestAgent.connect(parts.instances, "b");
      await target.event("started", domainOf(VM));
      await agent.event("migrated", domainOf(VM, "shut-off"));
      // As the statement that lets a viewer in may have read it.
      await db.sql("update instances set host = 'a'");
      const { channel } = await parts.channel(begun);
      expect(await channel.whyDisplayEnded()).to.deep.equal({ reason: "INSTANCE_MOVED", code: 4010 });
    });

    it("leaves them alone when it moves, is suspended, or another one stops", async () => {
      const begun = await begin();
      await agent.event("suspended", domainOf(VM, "paused"));
      await agent.event("stopped", domainOf(uuidOf(2), "shut-off"));
      const target = await TestAgent.connect(parts.instances, "b");
      await target.event("started", domainOf(VM, "running"));
      await agent.event("stopped", domainOf(VM, "shut-off"));
      await parts.endings.idle();
      expect((await storedSession(db, begun.session)).end_reason).to.equal(null);
    });
  });

  it("loses only its channels with the host's agent", async () => {
    const begun = await begin();
    const { told } = await parts.channel(begun);
    parts.agents.lose("b");
    parts.agents.lose("a");
    expect(await within("the word", told)).to.deep.equal({ reason: "AGENT_GONE", code: 4008 });
    await parts.registry.sync();
    expect(await storedSession(db, begun.session)).to.deep.include({ end_reason: null, open_channels: 0, empty: true });
  });

  it("keeps a channel whose display goes on without the agent, once that is open", async () => {
    parts.displaysNeedAgent = false;
    const [opened, opening] = [await parts.channel(await begin()), await parts.channel(await begin())];
    await opened.channel.connect({ type: MAIN_CHANNEL, number: 0, connectionId: 0 });
    parts.agents.lose("a");
    expect(await within("the word", opening.told)).to.deep.equal({ reason: "AGENT_GONE", code: 4008 });
    parts.registry.endSession(opened.channel.session.sessionId, "TERMINATED");
    expect(await within("the word", opened.told)).to.include({ reason: "TERMINATED" });
  });

  it("says DISPLAY_CLOSED when nobody knows better for three seconds, AGENT_GONE without an agent", async () => {
    const clock = new FakeClock();
    const timed = newParts({ controllerId: "controller-2", clock });
    const { channel } = await timed.channel(await begin());
    const why = channel.whyDisplayEnded();
    clock.advance(WHY_ENDED_MS);
    expect(await why).to.deep.equal({ reason: "DISPLAY_CLOSED", code: 1000 });
    const whyNow = channel.whyDisplayEnded();
    timed.agents.connected = false;
    clock.advance(WHY_ENDED_MS);
    expect((await whyNow).reason).to.equal("AGENT_GONE");
  });

  it("leaves open channels for the grace time when the controller stops, and then tells them", async () => {
    const draining = newParts({ controllerId: "controller-2", graceMs: 50 });
    const begun = await begin(draining);
    const { told } = await draining.channel(begun);
    const stopped = draining.drain.stop();
    expect(await draining.viewers.status(begun.session.sessionId, begun.proof)).to.deep.include({ draining: true });
    expect(await within("the word", told)).to.deep.equal({ reason: "CONTROLLER_DRAINING", code: 4009 });
    await stopped;
    expect(draining.registry.size).to.equal(0);
    expect((await storedSession(db, begun.session)).end_reason).to.equal(null);
  });

  describe("expire", () => {
    it("to the moment on the controller that has their channels", async () => {
      const timed = newParts({ controllerId: "controller-2", rules: { maxLengthS: 1 } });
      const begun = await begin(timed);
      const { told } = await timed.channel(begun);
      const openedAt = performance.now();
      expect(await within("the word", told)).to.deep.equal({ reason: "SESSION_EXPIRED", code: 4005 });
      expect(performance.now() - openedAt).to.be.lessThan(1_200);
      expect(await timed.viewers.status(begun.session.sessionId, begun.proof)).to.deep.equal({
        state: "ended",
        reason: "SESSION_EXPIRED",
      });
      expect(await reasonOfChannel(begun, timed)).to.equal("SESSION_ENDED");
      await until("the end in Postgres", () => timed.lines().some(({ audit }) => audit === "ended"));
      expect((await storedSession(db, begun.session)).end_reason).to.equal("SESSION_EXPIRED");
    });

    it("by the sweep where nobody has their channels", async () => {
      const begun = await begin();
      await sweep("expired sessions");
      expect((await storedSession(db, begun.session)).end_reason).to.equal(null);
      await db.sql("update console_sessions set expires_at = now()");
      await sweep("expired sessions");
      expect((await storedSession(db, begun.session)).end_reason).to.equal("SESSION_EXPIRED");
    });
  });

  async function sweep(name: string): Promise<void> {
    const task = parts.endings.sweepTasks().find((each) => each.name === name);
    if (!task) throw new Error(`there is no task ${name}`);
    await db.database.transaction((querier) => task.run(querier));
  }

  describe("swept", () => {
    it("end when nobody has joined them for the time to rejoin, not while a channel is open", async () => {
      const [begun, joined] = [await begin(), await begin()];
      await parts.channel(joined);
      await db.sql("update console_sessions set empty_since = now() - interval '59 s' where open_channels = 0");
      await sweep("abandoned sessions");
      expect((await storedSession(db, begun.session)).end_reason).to.equal(null);
      await db.sql("update console_sessions set empty_since = now() - interval '60 s' where open_channels = 0");
      await sweep("abandoned sessions");
      expect((await storedSession(db, begun.session)).end_reason).to.equal("ABANDONED");
      expect((await storedSession(db, joined.session)).end_reason).to.equal(null);
    });

    it("are forgotten a week after their end, with their channels", async () => {
      const [begun, open] = [await begin(), await begin()];
      const { channel } = await parts.channel(begun);
      channel.closed("VIEWER_LEFT");
      await parts.endings.terminate(begun.session.sessionId, ACTOR);
      await db.sql("update console_sessions set ended_at = now() - interval '6 days' where ended_at is not null");
      await sweep("old sessions");
      expect(await db.sql("select from console_sessions")).to.have.length(2);
      await db.sql("update console_sessions set ended_at = now() - interval '7 days' where ended_at is not null");
      await sweep("old sessions");
      expect(await db.sql("select session_id from console_sessions")).to.deep.equal([
        { session_id: open.session.sessionId },
      ]);
      expect(await db.sql("select from session_channels")).to.deep.equal([]);
    });
  });

  it("keep the channels of a controller that was taken for dead while it could not hear", async () => {
    const clock = new FakeClock();
    const deaf = newParts({ controllerId: "controller-2", clock });
    const begun = await begin();
    await deaf.channel(begun);
    await db.sql("update session_channels set opened_at = now() - interval '1 minute'");
    await sweep("channels of dead controllers");
    expect((await storedSession(db, begun.session)).open_channels).to.equal(0);
    clock.advance(SESSION_SYNC_MS * 25);
    await deaf.registry.sync();
    expect((await storedSession(db, begun.session)).open_channels).to.equal(1);
  });
});
