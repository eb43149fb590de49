// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { reasonOf, ServiceError } from "../../../src/lib/service-error.js";
import { REFUSALS_PER_SECOND } from "../../../src/lib/limits.js";
import { ACTOR, authorize, registryOn, uuidOf } from "../../harness/inventory.js";
import { rejectionOf } from "../../harness/rejection.js";
import { placeInstance } from "../../harness/stored-sessions.js";
import { TestDatabase } from "../../harness/test-database.js";
import { ViewerParts } from "../../harness/viewer-parts.js";

const VM = uuidOf(1);

describe("RedeemConsoleToken", () => {
  let db: TestDatabase;
  let parts: ViewerParts;

  before(async () => {
    db = await TestDatabase.create();
  });

  beforeEach(async () => {
    await db.clear();
    await placeInstance(db, VM);
    parts = new ViewerParts(db);
  });

  afterEach(() => parts.stop());
  after(() => db.stop());

  async function refusal(token: string): Promise<string> {
    const reason = reasonOf(await rejectionOf(parts.redeeming.execute(token, parts.context())));
    expect(await parts.metric("viewer_refusals_total", { reason })).to.be.greaterThan(0);
    return reason;
  }

  it("turns a token into a session after asking the instance's host for the same ports", async () => {
    const { token } = await authorize(db.database, VM, "a", { port: 5900, tlsPort: 5901 });
    const { session, proof } = await parts.redeeming.execute(token, parts.context());
    expect(parts.agents.asked).to.deep.equal([{ host: "a", instanceUuid: VM, port: 5900, tlsPort: 5901 }]);
    expect(session).to.deep.include({ instanceUuid: VM, subject: "alice", clientAddress: "192.0.2.9" });
    expect(await parts.viewers.status(session.sessionId, proof)).to.deep.include({ state: "open", draining: false });
  });

  it("leaves one log line, with neither token nor proof in it", async () => {
    const { token } = await authorize(db.database, VM, "a");
    const { session, proof } = await parts.redeeming.execute(token, parts.context());
    const [line, ...others] = parts.lines();
    expect(others).to.deep.equal([]);
    expect(line).to.deep.include({ audit: "redeemed", subject: "alice", instance: VM, session: session.sessionId });
    expect(JSON.stringify(line)).not.to.include(token).and.not.to.include(proof);
  });

  it("gives one of five callers at the same instant the session and tells the others TOKEN_USED", async () => {
    const { token } = await authorize(db.database, VM, "a");
    const calls = Array.from({ length: 5 }, () => parts.redeeming.execute(token, parts.context()));
    const outcomes = await Promise.all(calls.map((call) => call.then(() => "OK", reasonOf)));
    expect(outcomes.sort()).to.deep.equal(["OK", "TOKEN_USED", "TOKEN_USED", "TOKEN_USED", "TOKEN_USED"]);
  });

  it("refuses unknown, endless, expired and used tokens, and those of other consoles", async () => {
    expect(await refusal("nonsense")).to.equal("TOKEN_INVALID");
    expect(await refusal("x".repeat(129))).to.equal("TOKEN_INVALID");
    expect(await refusal("")).to.equal("TOKEN_INVALID");
    const { token } = await authorize(db.database, VM, "a", { consoleType: "novnc" });
    expect(await refusal(token)).to.equal("CONSOLE_TYPE_INVALID");
    await db.sql("update console_auth_tokens set expires = 1");
    expect(await refusal(token)).to.equal("TOKEN_EXPIRED");
    await db.sql("update console_auth_tokens set expires = 9e9, redeemed_at = now()");
    expect(await refusal(token)).to.equal("TOKEN_USED");
    expect(parts.agents.asked).to.deep.equal([]);
  });

  it("refuses an instance without a host, but not by what memory says alone", async () => {
    const { token } = await authorize(db.database, VM, "a");
    await db.sql("update instances set host = null, revision = nextval('instance_revisions')");
    expect(await refusal(token)).to.equal("INSTANCE_NOT_READY");
    expect(parts.instances.find(VM)).to.include({ host: undefined });
    await db.sql("update instances set host = 'a', revision = nextval('instance_revisions')");
    await parts.redeeming.execute(token, parts.context());
  });

  it("leaves the token usable when the host refuses or cannot be asked", async () => {
    const { token } = await authorize(db.database, VM, "a");
    parts.agents.failure = new ServiceError("TARGET_CHANGED", "no");
    expect(await refusal(token)).to.equal("TARGET_CHANGED");
    parts.agents.failure = undefined;
    parts.agents.connected = false;
    expect(await refusal(token)).to.equal("AGENT_UNAVAILABLE");
    parts.agents.connected = true;
    await parts.redeeming.execute(token, parts.context());
  });

  it("leaves the token usable when the viewer goes away meanwhile", async () => {
    const { token } = await authorize(db.database, VM, "a");
    const gone = new AbortController();
    parts.agents.onAsked = () => {
      gone.abort();
      return Promise.resolve();
    };
    const call = parts.redeeming.execute(token, parts.context({ signal: gone.signal }));
    expect(reasonOf(await rejectionOf(call))).to.equal("CANCELLED");
    parts.agents.onAsked = () => Promise.resolve();
    await parts.redeeming.execute(token, parts.context());
  });

  it("says what came between the look and the statement", async () => {
    const { token } = await authorize(db.database, VM, "a");
    parts.agents.onAsked = () => db.sql("update instances set task_state = 'deleting'").then(() => undefined);
    expect(await refusal(token)).to.equal("INSTANCE_BUSY");
    parts.agents.onAsked = () => db.sql("update console_auth_tokens set expires = 1").then(() => undefined);
    expect(await refusal(token)).to.equal("TOKEN_EXPIRED");
  });

  it("takes a token whose instance was deleted for invalid", async () => {
    const { token } = await authorize(db.database, VM, "a");
    await registryOn(db.database).delete(VM, ACTOR);
    expect(await refusal(token)).to.equal("TOKEN_INVALID");
  });

  it("refuses while the controller stops", async () => {
    const { token } = await authorize(db.database, VM, "a");
    await parts.drain.stop();
    expect(await refusal(token)).to.equal("DRAINING");
  });

  it("notes refusals in the audit with what is known, and no more of them than so many a second", async () => {
    const { token } = await authorize(db.database, VM, "a", { consoleType: "novnc" });
    await refusal(token);
    for (let count = 0; count < REFUSALS_PER_SECOND + 5; count += 1) await refusal("nonsense");
    await parts.recorder.idle();
    const rows = await db.sql<Record<string, unknown>>(
      `select reason, subject, request_id, client_address, instance_uuid, console_type from audit_events
       where action = 'refused' order by event_id`,
    );
    expect(rows[0]).to.deep.equal({
      reason: "CONSOLE_TYPE_INVALID",
      subject: "alice",
      request_id: "req-v",
      client_address: "192.0.2.9",
      instance_uuid: VM,
      console_type: "novnc",
    });
    expect(rows.length).to.be.within(2, REFUSALS_PER_SECOND);
    expect(await parts.metric("viewer_refusals_total")).to.equal(REFUSALS_PER_SECOND + 6);
  });
});
