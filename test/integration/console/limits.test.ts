// SPDX-License-Identifier: Apache-2.0
// What viewers, operators and other controllers notice of limits.
import { expect } from "chai";
import { CHANNEL_TYPES } from "../../../src/config/console-settings.js";
import type { OpenedSession } from "../../../src/console/viewer.js";
import { IDLE_SLACK_MS, VIEWER_AWAY_S } from "../../../src/lib/limits.js";
import { reasonOf, ServiceError } from "../../../src/lib/service-error.js";
import type { Session } from "../../../src/sessions/session.js";
import { Limit } from "../../../src/rpc/limit.js";
import { FakeClock } from "../../fakes/fake-clock.js";
import { authorize, uuidOf } from "../../harness/inventory.js";
import { rejectionOf } from "../../harness/rejection.js";
import { auditOf, placeInstance, storedSession } from "../../harness/stored-sessions.js";
import { TestDatabase } from "../../harness/test-database.js";
import { ViewerParts } from "../../harness/viewer-parts.js";
import type { ViewerPartsOptions } from "../../harness/viewer-parts.js";
import { within } from "../../harness/within.js";

const VM = uuidOf(1);
const MAIN = { connectionId: 0, type: 1, number: 0 };
const USBREDIR = { connectionId: 1, type: 9, number: 0 };

describe("Limits, for viewers", () => {
  let db: TestDatabase;
  let all: ViewerParts[];

  before(async () => {
    db = await TestDatabase.create();
  });

  beforeEach(async () => {
    await db.clear();
    await placeInstance(db, VM);
    all = [];
  });

  afterEach(() => Promise.all(all.map((each) => each.stop())));
  after(() => db.stop());

  function newParts(options: ViewerPartsOptions = {}): ViewerParts {
    const made = new ViewerParts(db, options);
    all.push(made);
    return made;
  }

  async function begin(parts: ViewerParts): Promise<OpenedSession> {
    const { token } = await authorize(db.database, VM, "a");
    return parts.redeeming.execute(token, parts.context());
  }

  async function refusalOf(work: Promise<unknown>): Promise<ServiceError> {
    const error = await rejectionOf(work);
    if (error instanceof ServiceError) return error;
    throw error;
  }

  /** What a controller's presence does every few seconds. */
  const beat = (controllerId: string, agoS = 0): Promise<unknown> =>
    db.sql(
      `insert into controllers (controller_id, heartbeat_at) values ($1, now() - $2::float8 * interval '1 s')
       on conflict (controller_id) do update set heartbeat_at = excluded.heartbeat_at`,
      [controllerId, agoS],
    );

  describe("a refusal", () => {
    it("is counted by its limit, and noted in log and audit with the caller", async () => {
      const parts = newParts({ rules: { maxPerInstance: 1 } });
      await begin(parts);
      const refused = await refusalOf(begin(parts));
      expect(refused.reason).to.equal("LIMITED");
      await parts.recorder.idle();
      expect(await parts.metric("limits_reached_total", { limit: "max_per_instance" })).to.equal(1);
      expect(parts.lines().at(-1)).to.include({ audit: "refused", reason: "LIMITED", subject: "alice", instance: VM });
      const rows = await db.sql("select reason, subject, instance_uuid from audit_events where action = 'refused'");
      expect(rows).to.deep.equal([{ reason: "LIMITED", subject: "alice", instance_uuid: VM }]);
    });

    it("names the channels of a session as any other limit", async () => {
      const parts = newParts();
      const begun = await begin(parts);
      for (let count = 0; count < 32; count += 1) await parts.channel(begun);
      const { metadata } = await refusalOf(parts.channel(begun));
      expect(metadata).to.deep.equal({ limit: "max_channels", most: "32" });
      expect(await parts.metric("limits_reached_total", { limit: "max_channels" })).to.equal(1);
    });

    it("keeps a viewer with a used token away from the limits", async () => {
      const parts = newParts({ rules: { secondViewer: "take-over" } });
      const { token } = await authorize(db.database, VM, "a");
      const { session } = await parts.redeeming.execute(token, parts.context());
      expect((await refusalOf(parts.redeeming.execute(token, parts.context()))).reason).to.equal("TOKEN_USED");
      expect((await storedSession(db, session)).end_reason).to.equal(null);
    });
  });

  describe("per address", () => {
    it("refuses sessions that begin too often, leaves the token usable, and is noted where the limit is", async () => {
      const noted: string[] = [];
      const clock = new FakeClock();
      const limit = new Limit({
        name: "sessions_per_address",
        what: "new consoles",
        rate: { perSecond: 1, burst: 2 },
        keyOf: ({ clientAddress }) => clientAddress,
        notes: { note: (name, key) => void noted.push(`${name} ${key}`) },
        clock,
      });
      const parts = newParts({ limit });
      for (let count = 0; count < 2; count += 1) await begin(parts);
      const { token } = await authorize(db.database, VM, "a");
      const refused = await refusalOf(parts.redeeming.execute(token, parts.context()));
      expect([refused.reason, refused.retryMs]).to.deep.equal(["LIMITED", 1_000]);
      expect((await refusalOf(parts.enter(token))).reason).to.equal("LIMITED");
      expect(noted).to.deep.equal(Array(2).fill("sessions_per_address 192.0.2.9"));
      await parts.recorder.idle();
      expect(await db.sql("select from audit_events where action = 'refused'"), "noted twice").to.have.length(0);
      clock.advance(1_000);
      await parts.redeeming.execute(token, parts.context());
      await begin(newParts());
    });
  });

  describe("per controller", () => {
    it("gives the last place to one of ten at the same instant, and leaves the others their tokens", async () => {
      const parts = newParts({ maxPerController: 3 });
      for (let count = 0; count < 2; count += 1) await parts.channel(await begin(parts));
      const outcomes = await Promise.all(Array.from({ length: 10 }, () => begin(parts).then(() => "OK", reasonOf)));
      expect(outcomes.filter((outcome) => outcome === "OK")).to.have.length(1);
      expect(outcomes.filter((outcome) => outcome === "LIMITED")).to.have.length(9);
      expect(await db.sql("select from console_auth_tokens where redeemed_at is null")).to.have.length(9);
    });

    it("frees a place when a session leaves, and when one that began never comes", async () => {
      const clock = new FakeClock();
      const parts = newParts({ maxPerController: 1, clock });
      await begin(parts);
      const { metadata } = await refusalOf(begin(parts));
      expect(metadata).to.deep.equal({ limit: "max_per_controller", most: "1" });
      clock.advance(VIEWER_AWAY_S * 1_000);
      const { channel } = await parts.channel(await begin(parts));
      clock.advance(VIEWER_AWAY_S * 1_000);
      await refusalOf(begin(parts));
      channel.closed("VIEWER_LEFT");
      await begin(parts);
    });

    it("gives back the place of a token that could not be redeemed", async () => {
      const parts = newParts({ maxPerController: 1 });
      const { token } = await authorize(db.database, VM, "a");
      parts.agents.onAsked = () => db.sql("update instances set task_state = 'deleting'").then(() => undefined);
      await refusalOf(parts.redeeming.execute(token, parts.context()));
      parts.agents.onAsked = () => db.sql("update instances set task_state = ''").then(() => undefined);
      await parts.redeeming.execute(token, parts.context());
    });

    it("is one place for one token, however many enter by it at the same instant", async () => {
      const parts = newParts({ maxPerController: 1 });
      const { token } = await authorize(db.database, VM, "a");
      const channels = await Promise.all(Array.from({ length: 16 }, () => parts.enter(token)));
      expect(new Set(channels.map(({ channel }) => channel.session.sessionId)).size).to.equal(1);
    });

    it("is the place of the token's session for whoever asked before that had begun", async () => {
      const parts = newParts({ maxPerController: 1 });
      const { token } = await authorize(db.database, VM, "a");
      let others: Promise<unknown> = Promise.resolve();
      parts.agents.onAsked = async () => {
        // The one that is asked for first comes last.
        parts.agents.onAsked = () => Promise.resolve();
        others = parts.enter(token);
        await others;
      };
      const { channel } = await parts.enter(token);
      await others;
      expect(parts.registry.sessionCount).to.equal(1);
      expect(channel.session.instanceUuid).to.equal(VM);
      await refusalOf(begin(parts));
    });

    it("lets in what has begun elsewhere, and counts it", async () => {
      const full = newParts({ maxPerController: 1 });
      const other = newParts({ controllerId: "controller-2" });
      const [one, two] = [await begin(other), await begin(other)];
      await full.channel(one);
      await full.channel(two);
      await refusalOf(begin(full));
    });
  });

  describe("a second viewer that takes over", () => {
    const rules = { secondViewer: "take-over" } as const;

    it("is told to the first one, at once here and within two seconds elsewhere", async () => {
      const [here, there] = [newParts({ rules }), newParts({ rules, controllerId: "controller-2" })];
      there.registry.start();
      const first = await begin(here);
      const [near, far] = [await here.channel(first), await there.channel(first)];
      await begin(here);
      expect(await within("the near channel's word", near.told, 500)).to.deep.equal({
        reason: "TAKEN_OVER",
        code: 4007,
      });
      expect(await within("the far channel's word", far.told, 2_000)).to.deep.equal({
        reason: "TAKEN_OVER",
        code: 4007,
      });
      expect(await here.viewers.status(first.session.sessionId, first.proof)).to.deep.equal({
        state: "ended",
        reason: "TAKEN_OVER",
      });
      const line = here.lines().find(({ audit }) => audit === "ended");
      expect(line).to.include({ reason: "TAKEN_OVER", subject: "alice", client: "192.0.2.9", instance: VM });
    });

    it("holds for tokens that can be used again: the older one's is refused after that", async () => {
      const parts = newParts({ rules });
      const [older, newer] = [await authorize(db.database, VM, "a"), await authorize(db.database, VM, "a")];
      const first = await parts.enter(older.token);
      await parts.enter(newer.token);
      expect((await within("the first one's word", first.told)).reason).to.equal("TAKEN_OVER");
      await parts.enter(newer.token);
      expect((await refusalOf(parts.enter(older.token))).reason).to.equal("SESSION_ENDED");
    });
  });

  describe("a second viewer that is denied", () => {
    it("may try again with the same token, of either kind, once the first one has left", async () => {
      const parts = newParts({ rules: { secondViewer: "deny" } });
      const first = await begin(parts);
      const [one, again] = [await authorize(db.database, VM, "a"), await authorize(db.database, VM, "a")];
      const redeeming = (): Promise<OpenedSession> => parts.redeeming.execute(one.token, parts.context());
      expect((await refusalOf(redeeming())).reason).to.equal("CONSOLE_IN_USE");
      expect((await refusalOf(parts.enter(again.token))).reason).to.equal("CONSOLE_IN_USE");
      expect(await parts.metric("limits_reached_total", { limit: "second_viewer" })).to.equal(2);
      await parts.viewers.end(first.session.sessionId, first.proof, parts.context());
      const { session, proof } = await redeeming();
      await parts.viewers.end(session.sessionId, proof, parts.context());
      await parts.enter(again.token);
      await parts.enter(again.token);
    });
  });

  describe("idle time", () => {
    const rules = { idleS: 600 };
    const inactive = ({ sessionId }: Session, ms: number): Promise<unknown> =>
      db.sql(
        `update console_sessions set opened_at = now() - interval '1 day',
           last_input_at = now() - $2::float8 * interval '1 ms' where session_id = $1`,
        [sessionId, ms],
      );

    it("ends a session after it, from the last input on, by the system", async () => {
      const parts = newParts({ rules });
      const { session } = await begin(parts);
      await inactive(session, 600_000 + IDLE_SLACK_MS - 500);
      expect(await parts.endings.endIdle()).to.equal(0);
      await inactive(session, 600_000 + IDLE_SLACK_MS);
      expect(await parts.endings.endIdle()).to.equal(1);
      expect(await storedSession(db, session)).to.deep.include({ end_reason: "IDLE", ended_by: "" });
      expect((await auditOf(db, session)).at(-1)).to.deep.equal({ action: "ended", reason: "IDLE" });
    });

    it("counts from the opening where nobody has typed yet", async () => {
      const parts = newParts({ rules });
      const { session } = await begin(parts);
      expect(await parts.endings.endIdle()).to.equal(0);
      await db.sql("update console_sessions set opened_at = now() - interval '602 s'");
      expect(await parts.endings.endIdle()).to.equal(1);
      expect((await storedSession(db, session)).end_reason).to.equal("IDLE");
    });

    it("goes by the last input on whichever controller, as that one writes it", async () => {
      const [here, there] = [newParts({ rules }), newParts({ rules, controllerId: "controller-2" })];
      for (const controllerId of ["controller-1", "controller-2"]) await beat(controllerId);
      const begun = await begin(here);
      await here.channel(begun);
      const { channel } = await there.channel(begun);
      await inactive(begun.session, 700_000);
      channel.toMachine(10, true);
      await there.registry.sync();
      expect(await here.endings.endIdle()).to.equal(0);
    });

    it("waits for a controller that may know of input and is not heard", async () => {
      const [here, there] = [newParts({ rules }), newParts({ rules, controllerId: "controller-2" })];
      await beat("controller-1");
      const begun = await begin(here);
      await here.channel(begun);
      await there.channel(begun);
      await inactive(begun.session, 700_000);
      expect(await here.endings.endIdle()).to.equal(0);
      await beat("controller-2", 8);
      expect(await here.endings.endIdle()).to.equal(0);
      await beat("controller-2");
      expect(await here.endings.endIdle()).to.equal(1);
    });

    it("is looked for by itself, told to the viewer and counted", async () => {
      const parts = newParts({ rules: { idleS: 10 } });
      await beat("controller-1");
      const begun = await begin(parts);
      const { told } = await parts.channel(begun);
      await inactive(begun.session, 11_000);
      parts.idle.start();
      expect(await within("the end", told, 3_000)).to.deep.equal({ reason: "IDLE", code: 4006 });
      await parts.idle.stop();
      expect(await parts.metric("limits_reached_total", { limit: "idle_time" })).to.equal(1);
    });

    it("tells the viewer what is left, and from when on it warns", async () => {
      const parts = newParts({ rules });
      const { session, proof } = await begin(parts);
      await inactive(session, 590_000);
      const status = await parts.viewers.status(session.sessionId, proof);
      const idle = status.state === "open" ? status.idle : undefined;
      expect(idle?.leftS).to.be.within(8, 10);
      expect(idle?.warnedAtS).to.equal(60);
      await inactive(session, 700_000);
      const late = await parts.viewers.status(session.sessionId, proof);
      expect(late.state === "open" ? late.idle?.leftS : undefined).to.equal(0);
    });

    it("is nothing to tell of where there is none", async () => {
      const parts = newParts();
      const { session, proof } = await begin(parts);
      expect(await parts.viewers.status(session.sessionId, proof)).to.deep.include({ idle: undefined });
    });
  });

  describe("channel types", () => {
    it("that are off are refused before anything reaches the display, and end no other channel", async () => {
      const parts = newParts();
      const begun = await begin(parts);
      const main = await parts.channel(begun);
      await main.channel.connect(MAIN);
      for (const type of [7, 8, 9, 10, 11, 0, 200]) {
        const { channel } = await parts.channel(begun);
        const refused = await refusalOf(channel.connect({ ...USBREDIR, type }));
        expect(refused.reason).to.equal("CHANNEL_TYPE_REFUSED");
        channel.closed("REFUSED");
      }
      expect(parts.opened).to.have.length(1);
      expect(await parts.metric("limits_reached_total", { limit: "channel_types" })).to.equal(7);
      await (await parts.channel(begun)).channel.connect({ ...USBREDIR, type: 2 });
      expect(parts.registry.size).to.equal(2);
    });

    it("that are for more than looking are refused where the token is for that alone", async () => {
      const parts = newParts({ channelTypes: [...CHANNEL_TYPES] });
      const { token } = await authorize(db.database, VM, "a", { viewOnly: true });
      const begun = await parts.redeeming.execute(token, parts.context());
      expect(begun.session.viewOnly).to.equal(true);
      await (await parts.channel(begun)).channel.connect(MAIN);
      for (const type of [3, 6, 8, 9, 10, 11]) {
        const { channel } = await parts.channel(begun);
        const refused = await refusalOf(channel.connect({ ...USBREDIR, type }));
        expect(refused).to.include({ reason: "CHANNEL_TYPE_REFUSED" });
        expect(refused.message).to.contain("only be looked at");
        channel.closed("REFUSED");
      }
      expect(parts.opened).to.have.length(1);
      for (const type of [2, 4, 5]) await (await parts.channel(begun)).channel.connect({ ...USBREDIR, type });
      expect(parts.opened).to.have.length(4);
    });

    it("that are on are let in", async () => {
      const parts = newParts({ channelTypes: ["main", "usbredir"] });
      const begun = await begin(parts);
      await (await parts.channel(begun)).channel.connect(MAIN);
      await (await parts.channel(begun)).channel.connect(USBREDIR);
      expect(parts.opened).to.have.length(2);
    });
  });
});
