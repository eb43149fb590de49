// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { AdoptedTokens } from "../../../src/consoleauth/adopted-tokens.js";
import { DualTokens } from "../../../src/consoleauth/dual-tokens.js";
import { LocalConsoleAuth } from "../../../src/consoleauth/local-console-auth.js";
import { MemoryStore } from "../../../src/consoleauth/memory-store.js";
import { silentLog } from "../../../src/lib/log.js";
import { reasonOf, ServiceError } from "../../../src/lib/service-error.js";
import type { Session, SessionEndReason } from "../../../src/sessions/session.js";
import { createControllerMetrics } from "../../../src/telemetry/controller-metrics.js";
import { createRegistry } from "../../../src/telemetry/metrics.js";
import { createToken, hashToken } from "../../../src/tokens/token.js";
import { ACTOR, authorize, registryOn, uuidOf } from "../../harness/inventory.js";
import { legacyConsole } from "../../harness/legacy-consoles.js";
import { rejectionOf } from "../../harness/rejection.js";
import { auditOf, placeInstance, storedSession } from "../../harness/stored-sessions.js";
import { TestDatabase } from "../../harness/test-database.js";
import type { ViewerPartsOptions } from "../../harness/viewer-parts.js";
import { ViewerParts } from "../../harness/viewer-parts.js";
import { within } from "../../harness/within.js";

const VM = uuidOf(1);
const TTL = 600;

describe("EnterByToken", () => {
  let db: TestDatabase;
  let all: ViewerParts[];
  let parts: ViewerParts;
  let token: string;

  before(async () => {
    db = await TestDatabase.create();
  });

  beforeEach(async () => {
    await db.clear();
    await placeInstance(db, VM);
    all = [];
    parts = newParts();
    token = (await authorize(db.database, VM, "a", { port: 5900, tlsPort: 5901 })).token;
  });

  afterEach(() => Promise.all(all.map((each) => each.stop())));
  after(() => db.stop());

  function newParts(options: ViewerPartsOptions = {}): ViewerParts {
    const made = new ViewerParts(db, options);
    all.push(made);
    return made;
  }

  async function refusal(text = token, on = parts): Promise<ServiceError> {
    const error = await rejectionOf(on.enter(text));
    const reason = reasonOf(error);
    expect(await on.metric("viewer_refusals_total", { reason })).to.be.greaterThan(0);
    if (!(error instanceof ServiceError)) throw error;
    return error;
  }

  const sessionOf = async (on = parts): Promise<Session> => (await on.enter(token)).channel.session;
  const end = ({ sessionId }: Session, reason: SessionEndReason): Promise<unknown> =>
    parts.sessions.end([sessionId], reason, ACTOR);
  const expire = (): Promise<unknown> =>
    db.sql("update console_auth_tokens set expires = floor(extract(epoch from now()))");

  it("begins a session after asking the host, and lets the next ones into it without", async () => {
    const session = await sessionOf();
    expect(session).to.deep.include({ instanceUuid: VM, subject: "alice", clientAddress: "192.0.2.9" });
    expect((await sessionOf()).sessionId).to.equal(session.sessionId);
    expect(parts.agents.asked).to.deep.equal([{ host: "a", instanceUuid: VM, port: 5900, tlsPort: 5901 }]);
    expect((await storedSession(db, session)).open_channels).to.equal(2);
    const actions = (await auditOf(db, session)).map(({ action }) => action);
    expect(actions).to.deep.equal(["redeemed", "channel-opened", "channel-opened"]);
    const audits = parts.lines().map(({ audit }) => audit);
    expect(audits).to.deep.equal(["redeemed", "channel-opened", "channel-opened"]);
    expect(JSON.stringify(parts.lines())).not.to.include(token);
  });

  it("has seven that come at the same instant, through two controllers, in one session", async () => {
    const other = newParts({ controllerId: "controller-2" });
    const channels = await Promise.all(
      Array.from({ length: 7 }, (_, at) => (at % 2 === 0 ? parts : other).enter(token)),
    );
    const ids = new Set(channels.map(({ channel }) => channel.session.sessionId));
    expect(ids.size).to.equal(1);
    expect((await storedSession(db, channels[0]!.channel.session)).open_channels).to.equal(7);
    expect(await db.sql("select from audit_events where action = 'redeemed'")).to.have.length(1);
    expect(await db.sql("select from console_sessions")).to.have.length(1);
    expect(await parts.metric("viewer_refusals_total")).to.equal(0);
  });

  it("keeps apart what two tokens of one instance have opened", async () => {
    const { token: second } = await authorize(db.database, VM, "a");
    const { sessionId } = (await parts.enter(second)).channel.session;
    expect((await sessionOf()).sessionId).not.to.equal(sessionId);
  });

  it("notes when the token was used first, and only that", async () => {
    const read = (): Promise<unknown> => db.sql("select redeemed_at from console_auth_tokens");
    const session = await sessionOf();
    const first = await read();
    await end(session, "ABANDONED");
    await sessionOf();
    expect(await read()).to.deep.equal(first);
  });

  it("refuses unknown, missing, endless and expired tokens, and those of other viewers", async () => {
    for (const text of ["nonsense", "", "x".repeat(129)]) {
      expect((await refusal(text)).reason).to.equal("TOKEN_INVALID");
    }
    for (const consoleType of ["novnc", "spice-direct"]) {
      const other = await authorize(db.database, VM, "a", { consoleType });
      expect((await refusal(other.token)).reason).to.equal("CONSOLE_TYPE_INVALID");
    }
    await expire();
    expect((await refusal()).reason).to.equal("TOKEN_EXPIRED");
    expect(parts.agents.asked).to.deep.equal([]);
  });

  it("refuses from the second on that the token expires in, and leaves open channels alone", async () => {
    const { channel } = await parts.enter(token);
    await expire();
    expect((await refusal()).reason).to.equal("TOKEN_EXPIRED");
    await parts.registry.sync();
    expect((await storedSession(db, channel.session)).open_channels).to.equal(1);
  });

  it("leaves the token usable when the host refuses or cannot be asked", async () => {
    parts.agents.failure = new ServiceError("TARGET_CHANGED", "no");
    expect((await refusal()).reason).to.equal("TARGET_CHANGED");
    parts.agents.failure = undefined;
    parts.agents.connected = false;
    expect((await refusal()).reason).to.equal("AGENT_UNAVAILABLE");
    parts.agents.connected = true;
    await sessionOf();
  });

  it("begins nothing for a viewer that went away meanwhile", async () => {
    const gone = new AbortController();
    parts.agents.onAsked = () => {
      gone.abort();
      return Promise.resolve();
    };
    const context = parts.context({ signal: gone.signal });
    const entering = parts.entering.openChannel({ token, origin: undefined }, context);
    expect(reasonOf(await rejectionOf(entering))).to.equal("CANCELLED");
    expect(await db.sql("select from console_sessions")).to.deep.equal([]);
  });

  it("tells a viewer of ours that the token is used, and is told the same", async () => {
    await sessionOf();
    const redeeming = parts.redeeming.execute(token, parts.context());
    expect(reasonOf(await rejectionOf(redeeming))).to.equal("TOKEN_USED");
    const { token: ours } = await authorize(db.database, VM, "a");
    const { session } = await parts.redeeming.execute(ours, parts.context());
    expect((await refusal(ours)).reason).to.equal("TOKEN_USED");
    await end(session, "ABANDONED");
    expect((await refusal(ours)).reason).to.equal("TOKEN_USED");
  });

  it("takes a token for used that the release before this one has redeemed", async () => {
    await db.sql("update console_auth_tokens set redeemed_at = now()");
    expect((await refusal()).reason).to.equal("TOKEN_USED");
    expect(parts.agents.asked).to.deep.equal([]);
  });

  for (const reason of ["ABANDONED", "INSTANCE_STOPPED", "INSTANCE_CRASHED"] as const) {
    it(`begins another session after ${reason}`, async () => {
      const first = await sessionOf();
      await end(first, reason);
      const second = await sessionOf();
      expect(second.sessionId).not.to.equal(first.sessionId);
      expect(parts.agents.asked).to.have.length(2);
      expect((await sessionOf()).sessionId).to.equal(second.sessionId);
    });
  }

  it("begins one session for seven that come after the first has ended", async () => {
    await end(await sessionOf(), "ABANDONED");
    const channels = await Promise.all(Array.from({ length: 7 }, () => parts.enter(token)));
    expect(new Set(channels.map(({ channel }) => channel.session.sessionId)).size).to.equal(1);
    expect(await db.sql("select from console_sessions")).to.have.length(2);
  });

  for (const reason of ["TERMINATED", "TAKEN_OVER", "IDLE", "SESSION_EXPIRED", "INSTANCE_DELETED"] as const) {
    it(`refuses the token after ${reason}`, async () => {
      await end(await sessionOf(), reason);
      const error = await refusal();
      expect([error.reason, error.metadata]).to.deep.equal(["SESSION_ENDED", { reason }]);
    });
  }

  it("refuses the token once the session has lasted as long as one may, also before anybody has ended it", async () => {
    await sessionOf();
    await db.sql("update console_sessions set expires_at = now() - interval '1 s'");
    expect((await refusal()).metadata).to.deep.equal({ reason: "SESSION_EXPIRED" });
  });

  it("cuts all channels once when the token expires, where that is enforced", async () => {
    const strict = newParts({ rules: { endsWithToken: true } });
    await db.sql("update console_auth_tokens set expires = floor(extract(epoch from now())) + 2");
    const channels = await Promise.all(Array.from({ length: 7 }, () => strict.enter(token)));
    const told = await within("all to be told", Promise.all(channels.map((channel) => channel.told)), 5_000);
    expect(told).to.deep.equal(Array(7).fill({ reason: "SESSION_EXPIRED", code: 4005 }));
    expect(await strict.metric("viewer_refusals_total")).to.equal(0);
  });

  it("lets in whoever brings a token that only the legacy store knows, again and again, and leaves it there", async () => {
    const consoleAuth = new LocalConsoleAuth({ store: new MemoryStore(), ttlSeconds: TTL });
    const metrics = createControllerMetrics(createRegistry());
    const adopted = new AdoptedTokens(db.database, TTL);
    // Used by another entrance, it would be forgotten there.
    const legacy = new DualTokens({ legacy: consoleAuth, adopted, reusable: false, metrics, log: silentLog });
    const moving = newParts({ legacy });
    const known = createToken();
    expect((await refusal(known, moving)).reason).to.equal("TOKEN_INVALID");
    await consoleAuth.authorize(hashToken(known), legacyConsole({ instanceUuid: VM }));
    const first = (await moving.enter(known)).channel.session;
    expect(first).to.include({ instanceUuid: VM, subject: "bob" });
    expect((await moving.enter(known)).channel.session.sessionId).to.equal(first.sessionId);
    await end(first, "ABANDONED");
    expect((await moving.enter(known)).channel.session.sessionId).not.to.equal(first.sessionId);
    expect(await consoleAuth.check(hashToken(known), { consume: false })).to.include({ instanceUuid: VM });
    const actions = await db.sql<{ action: string }>("select action from audit_events where action = 'adopted'");
    expect(actions).to.have.length(1);
  });

  it("refuses while the instance is being deleted, and after that", async () => {
    parts.agents.onAsked = () => db.sql("update instances set task_state = 'deleting'").then(() => undefined);
    expect((await refusal()).reason).to.equal("INSTANCE_BUSY");
    await registryOn(db.database).delete(VM, ACTOR);
    expect((await refusal()).reason).to.equal("TOKEN_INVALID");
  });

  it("refuses while the controller stops", async () => {
    await parts.drain.stop();
    expect((await refusal()).reason).to.equal("DRAINING");
  });

  it("notes refusals in the audit with what is known", async () => {
    const { sessionId } = await sessionOf();
    await parts.sessions.end([sessionId], "TERMINATED", ACTOR);
    await refusal();
    await refusal((await authorize(db.database, VM, "a", { consoleType: "novnc" })).token);
    await parts.recorder.idle();
    const rows = await db.sql(
      `select reason, subject, project_id, request_id, client_address, instance_uuid, console_type, session_id
       from audit_events where action = 'refused' order by event_id`,
    );
    const common = { subject: "alice", request_id: "req-v", client_address: "192.0.2.9", instance_uuid: VM };
    expect(rows).to.deep.equal([
      { reason: "SESSION_ENDED", ...common, project_id: "p1", console_type: "spice-html5", session_id: sessionId },
      { reason: "CONSOLE_TYPE_INVALID", ...common, project_id: "", console_type: "novnc", session_id: null },
    ]);
  });

  describe("compares the page's scheme with the one that the URL was given out with", () => {
    const matrix: [base: string, origin: "http" | "https", outcome: string][] = [
      ["http://c/spice_auto.html", "http", "OK"],
      ["http://c/spice_auto.html", "https", "ORIGIN_REFUSED"],
      ["https://c/spice_auto.html", "https", "OK"],
      ["https://c/spice_auto.html", "http", "ORIGIN_REFUSED"],
      ["ws://c/", "http", "OK"],
      ["ws://c/", "https", "ORIGIN_REFUSED"],
      ["wss://c/", "https", "OK"],
      ["wss://c/", "http", "ORIGIN_REFUSED"],
    ];
    for (const [base, origin, outcome] of matrix) {
      it(`${origin} for ${base}: ${outcome}`, async () => {
        await db.sql("update console_auth_tokens set access_url_base = $1", [base]);
        const enter = (): Promise<string> => parts.enter(token, { origin }).then(() => "OK", reasonOf);
        expect(await enter()).to.equal(outcome);
        // The same where the session is there already.
        await parts.enter(token);
        expect(await enter()).to.equal(outcome);
      });
    }

    it("any page for a URL of which that is not known", async () => {
      await db.sql("update console_auth_tokens set access_url_base = null where token_hash = $1", [hashToken(token)]);
      expect(reasonOf(await rejectionOf(parts.enter(token, { origin: "http" })))).to.equal("ORIGIN_REFUSED");
      await parts.enter(token);
    });
  });
});
