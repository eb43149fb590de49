// SPDX-License-Identifier: Apache-2.0
// What the statement that begins a session judges. Two ways to the database stand for two controllers.
import { expect } from "chai";
import { waitUntil } from "../../../demo/wait-until.js";
import { Database } from "../../../src/db/pool.js";
import { VIEWER_AWAY_S } from "../../../src/lib/limits.js";
import { silentLog } from "../../../src/lib/log.js";
import { ServiceError } from "../../../src/lib/service-error.js";
import type { BegunSession } from "../../../src/sessions/session-beginnings.js";
import { SessionBeginnings } from "../../../src/sessions/session-beginnings.js";
import type { SessionRules } from "../../../src/sessions/session-rules.js";
import { hashToken } from "../../../src/tokens/token.js";
import { ACTOR, authorize, uuidOf } from "../../harness/inventory.js";
import { rejectionOf } from "../../harness/rejection.js";
import {
  auditOf,
  beginSession,
  channelStore,
  placeInstance,
  redeem,
  requireChannel,
  RULES,
  sessionBeginnings,
  sessionStore,
  storedSession,
} from "../../harness/stored-sessions.js";
import { countWaiting, TestDatabase, whileLocked } from "../../harness/test-database.js";

const VM = uuidOf(1);
const OTHER_VM = uuidOf(2);
const CROWD = 32;
const UNDER_WAY = 6;
/** Lets a test hold the statement between its judgement and its session. */
const HALT = `create function halt() returns trigger language plpgsql as $$
  begin
    perform pg_advisory_xact_lock_shared(1, 1);
    return new;
  end
  $$`;

type Outcome = BegunSession | ServiceError;

describe("Limits of sessions", function () {
  this.timeout(20_000);
  let db: TestDatabase;
  let second: Database;

  before(async () => {
    db = await TestDatabase.create();
    second = new Database({ url: db.url, log: silentLog });
    await second.start();
    await db.sql(HALT);
    await db.sql("create trigger halt before insert on console_sessions for each row execute function halt()");
  });

  beforeEach(async () => {
    await db.clear();
    for (const uuid of [VM, OTHER_VM]) await placeInstance(db, uuid);
  });

  after(async () => {
    await second.stop();
    await db.stop();
  });

  const issue = async (uuid: string, subject = "alice"): Promise<string> =>
    (await authorize(db.database, uuid, "a", { actor: { ...ACTOR, subject } })).token;

  /**
   * Redeems so many tokens at the same instant through two controllers: those that the limits let in wait before their
   * session is there, until many are under way.
   */
  async function redeemAtOnce(
    rules: Partial<SessionRules>,
    tokens: readonly { readonly token: string; readonly uuid: string }[],
  ): Promise<readonly Outcome[]> {
    const here = sessionBeginnings(db, rules);
    const there = new SessionBeginnings(second, { ...RULES, ...rules });
    let outcomes: Promise<readonly Outcome[]> = Promise.resolve([]);
    await whileLocked(db.url, ["select pg_advisory_xact_lock(1, 1)"], async (unlock) => {
      outcomes = Promise.all(
        tokens.map(({ token, uuid }, at) => outcomeOf(redeem(at % 2 === 0 ? here : there, token, uuid))),
      );
      const many = async (): Promise<boolean> => (await countWaiting(db.url)) >= UNDER_WAY;
      await waitUntil(many, { ms: 2_000, what: "many of them to be under way" });
      await unlock();
    });
    return outcomes;
  }

  async function crowdOf(uuid: string): Promise<{ token: string; uuid: string }[]> {
    return Promise.all(Array.from({ length: CROWD }, async () => ({ token: await issue(uuid), uuid })));
  }

  const outcomeOf = (redeeming: Promise<BegunSession | undefined>): Promise<Outcome> =>
    redeeming.then(
      (begun) => begun ?? new ServiceError("TOKEN_INVALID", "nothing began"),
      (error: unknown) => error as ServiceError,
    );
  const isBegun = (outcome: Outcome): outcome is BegunSession => !(outcome instanceof ServiceError);
  const reasonsOf = (outcomes: readonly Outcome[]): string[] => [
    ...new Set(outcomes.flatMap((outcome) => (isBegun(outcome) ? [] : [outcome.reason]))),
  ];
  const openSessions = async (): Promise<string[]> =>
    (await db.sql<{ id: string }>("select session_id as id from console_sessions where ended_at is null")).map(
      ({ id }) => id,
    );
  const unusedTokens = async (): Promise<number> =>
    (await db.sql("select from console_auth_tokens where redeemed_at is null")).length;

  describe("per instance", () => {
    const rules = { maxPerInstance: 3 };

    it("lets one of 32 at the same instant have the last place, and leaves the others their tokens", async () => {
      await beginSession(db, VM);
      await beginSession(db, VM);
      const tokens = await crowdOf(VM);
      const outcomes = await redeemAtOnce(rules, tokens);
      expect(outcomes.filter(isBegun)).to.have.length(1);
      expect(reasonsOf(outcomes)).to.deep.equal(["LIMITED"]);
      expect(await openSessions()).to.have.length(3);
      expect(await unusedTokens()).to.equal(CROWD - 1);
    });

    it("is named with its number, and the token works once there is a place", async () => {
      const first = await beginSession(db, VM, rules);
      await beginSession(db, VM, rules);
      await beginSession(db, VM, rules);
      const token = await issue(VM);
      const metadata = { limit: "max_per_instance", most: "3" };
      const refused = await rejectionOf(redeem(sessionBeginnings(db, rules), token, VM));
      expect(refused).to.deep.include({ reason: "LIMITED", metadata });
      await sessionStore(db).end([first.session.sessionId], "TERMINATED", ACTOR);
      expect(await redeem(sessionBeginnings(db, rules), token, VM)).not.to.equal(undefined);
    });

    it("leaves other instances alone", async () => {
      for (let count = 0; count < 3; count += 1) await beginSession(db, VM, rules);
      expect(await redeem(sessionBeginnings(db, rules), await issue(OTHER_VM), OTHER_VM)).not.to.equal(undefined);
    });
  });

  describe("per caller", () => {
    const rules = { maxPerCaller: 2 };

    it("lets one of 32 at the same instant have the last place, on whichever instances", async () => {
      await beginSession(db, VM);
      const tokens = [...(await crowdOf(VM)).slice(16), ...(await crowdOf(OTHER_VM)).slice(16)];
      const outcomes = await redeemAtOnce(rules, tokens);
      expect(outcomes.filter(isBegun)).to.have.length(1);
      expect(reasonsOf(outcomes)).to.deep.equal(["LIMITED"]);
      expect(await openSessions()).to.have.length(2);
    });

    it("counts who asked for the URL, and nobody else", async () => {
      await beginSession(db, VM, rules);
      await beginSession(db, OTHER_VM, rules);
      const refused = await rejectionOf(redeem(sessionBeginnings(db, rules), await issue(VM), VM));
      const metadata = { limit: "max_per_caller", most: "2" };
      expect(refused).to.deep.include({ reason: "LIMITED", metadata });
      expect(await redeem(sessionBeginnings(db, rules), await issue(VM, "bob"), VM)).not.to.equal(undefined);
    });

    it("does not count what the new session takes over", async () => {
      await beginSession(db, OTHER_VM);
      await beginSession(db, VM);
      await beginSession(db, VM, { ...rules, secondViewer: "take-over" });
      expect(await openSessions()).to.have.length(2);
    });
  });

  describe("take-over", () => {
    const rules = { secondViewer: "take-over", maxPerInstance: 1 } as const;

    it("leaves exactly one of 32 at the same instant", async () => {
      const outcomes = await redeemAtOnce(rules, await crowdOf(VM));
      expect(outcomes.filter(isBegun)).to.have.length(CROWD);
      const [last, ...others] = await openSessions();
      expect(others).to.deep.equal([]);
      const displaced = outcomes.filter(isBegun).flatMap((begun) => begun.displaced);
      expect(displaced).to.have.length(CROWD - 1);
      expect(displaced).not.to.include(last);
    });

    it("says in the audit who took over, and from where", async () => {
      const { session } = await beginSession(db, VM);
      const token = await issue(VM, "bob");
      const taken = await redeem(sessionBeginnings(db, rules), token, VM);
      expect(taken?.displaced).to.deep.equal([session.sessionId]);
      expect(await storedSession(db, session)).to.deep.include({ end_reason: "TAKEN_OVER", ended_by: "bob" });
      const [row] = await db.sql(
        `select reason, subject, project_id, request_id, client_address, instance_uuid, host, console_type
         from audit_events where session_id = $1 and action = 'ended'`,
        [session.sessionId],
      );
      expect(row).to.deep.equal({
        reason: "TAKEN_OVER",
        subject: "bob",
        project_id: "p1",
        request_id: "req-2",
        client_address: "192.0.2.7",
        instance_uuid: VM,
        host: "a",
        console_type: "spice-html5",
      });
    });

    it("does not touch other instances, nor sessions that have ended", async () => {
      const { session: other } = await beginSession(db, OTHER_VM);
      const { session: ended } = await beginSession(db, VM);
      await sessionStore(db).end([ended.sessionId], "TERMINATED", ACTOR);
      expect((await beginSession(db, VM, rules)).displaced).to.deep.equal([]);
      expect((await storedSession(db, other)).end_reason).to.equal(null);
      expect((await auditOf(db, ended)).map(({ action }) => action)).to.deep.equal(["redeemed", "ended"]);
    });

    it("displaces nobody for a token that is used at the same instant", async () => {
      const token = await issue(VM);
      const outcomes = await redeemAtOnce(rules, Array<{ token: string; uuid: string }>(8).fill({ token, uuid: VM }));
      expect(outcomes.filter(isBegun)).to.have.length(1);
      expect(await openSessions()).to.have.length(1);
    });

    it("displaces nobody where another limit refuses", async () => {
      await beginSession(db, OTHER_VM);
      const { session } = await beginSession(db, VM, {});
      await db.sql("update console_sessions set subject = 'bob' where session_id = $1", [session.sessionId]);
      const strict = sessionBeginnings(db, { ...rules, maxPerCaller: 1 });
      await rejectionOf(redeem(strict, await issue(VM), VM));
      expect((await storedSession(db, session)).end_reason).to.equal(null);
    });
  });

  describe("deny", () => {
    const rules = { secondViewer: "deny" } as const;

    it("lets one of 32 at the same instant in, and leaves the others their tokens", async () => {
      const outcomes = await redeemAtOnce(rules, await crowdOf(VM));
      expect(outcomes.filter(isBegun)).to.have.length(1);
      expect(reasonsOf(outcomes)).to.deep.equal(["CONSOLE_IN_USE"]);
      expect(await openSessions()).to.have.length(1);
      expect(await unusedTokens()).to.equal(CROWD - 1);
    });

    it("lets the first viewer join again as often as it likes", async () => {
      const begun = await beginSession(db, VM, rules);
      const channels = channelStore(db);
      for (let time = 0; time < 3; time += 1) {
        const { channelId } = await requireChannel(channels, begun);
        const counts = { type: 1, number: 0, bytesToMachine: 0, bytesToViewer: 0, idleMs: undefined };
        await channels.close([{ channelId, sessionId: begun.session.sessionId, ...counts, reason: "VIEWER_LEFT" }]);
      }
    });

    it("refuses while the first one has a channel, however long", async () => {
      const begun = await beginSession(db, VM, rules);
      await requireChannel(channelStore(db), begun);
      await db.sql("update console_sessions set opened_at = now() - interval '1 day'");
      const refused = await rejectionOf(beginSession(db, VM, rules));
      expect(refused).to.include({ reason: "CONSOLE_IN_USE" });
    });

    it("takes one that has no channel for a while for gone, and ends its session", async () => {
      const { session } = await beginSession(db, VM, rules);
      const away = (seconds: number): Promise<unknown> =>
        db.sql("update console_sessions set empty_since = now() - $1::float8 * interval '1 s'", [seconds]);
      await away(VIEWER_AWAY_S - 2);
      await rejectionOf(beginSession(db, VM, rules));
      await away(VIEWER_AWAY_S);
      expect((await beginSession(db, VM, rules)).displaced).to.deep.equal([session.sessionId]);
      expect((await storedSession(db, session)).end_reason).to.equal("TAKEN_OVER");
    });
  });

  it("hold for tokens that can be used again too", async () => {
    const rules = { secondViewer: "take-over" } as const;
    const { session } = await beginSession(db, VM);
    const token = await issue(VM, "bob");
    const enter = (secondViewer: SessionRules["secondViewer"]): Promise<BegunSession | undefined> =>
      sessionBeginnings(db, { secondViewer }).enter({
        token,
        tokenHash: hashToken(token),
        after: undefined,
        consoleType: "spice-html5",
        instanceUuid: VM,
        host: "a",
        requestId: "",
        clientAddress: "",
      });
    expect(await rejectionOf(enter("deny"))).to.include({ reason: "CONSOLE_IN_USE" });
    expect((await enter(rules.secondViewer))?.displaced).to.deep.equal([session.sessionId]);
  });
});
