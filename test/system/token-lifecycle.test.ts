// SPDX-License-Identifier: Apache-2.0
// From the moment a token is given out to its end. The host's agent is a scripted one, since nothing here depends on a display.
import { expect } from "chai";
import { randomBytes, randomUUID } from "node:crypto";
import { appendFile } from "node:fs/promises";
import { waitUntil } from "../../demo/wait-until.js";
import type { LookupConsoleTokenResponse } from "../../proto/gen/spicegate/console/v1/console.js";
import { FAKE_ENDPOINT, FakeAgent, fakeDomain } from "../fakes/fake-agent.js";
import { Deployment, hashOf } from "../harness/deployment.js";
import type { CallResult } from "../harness/grpc-client.js";
import { callUnary } from "../harness/grpc-client.js";
import { remove, responseOf } from "../harness/inventory-calls.js";
import { rejectionOf } from "../harness/rejection.js";
import { dumpDatabase } from "../harness/database-dump.js";
import { runStatement } from "../harness/test-database.js";
import { postToken, tokenOf } from "../harness/viewer.js";

const HOST = "host-1";
const PURGED_MS = 25_000;

/** A controller with a scripted agent whose instances all have a display. */
async function start(uuids: readonly string[]): Promise<{ deployment: Deployment; agent: FakeAgent }> {
  const deployment = await Deployment.start();
  const domains = uuids.map((uuid) => fakeDomain(uuid));
  const agent = await FakeAgent.connect(deployment.agents, { host: HOST, domains, answer: () => FAKE_ENDPOINT });
  for (const uuid of uuids) await deployment.knows(uuid);
  return { deployment, agent };
}

describe("a console token", function () {
  this.timeout(60_000);
  const [first, second, third] = [randomUUID(), randomUUID(), randomUUID()];
  let deployment: Deployment;
  let agent: FakeAgent;

  before(async () => {
    ({ deployment, agent } = await start([first, second, third]));
  });
  after(async () => {
    agent.close();
    await deployment.stop();
  });

  const issue = async (uuid: string): Promise<string> => tokenOf(responseOf(await deployment.getConsole(uuid)).url);
  const lookup = (token: string): Promise<CallResult<LookupConsoleTokenResponse>> =>
    callUnary(deployment.console.lookupConsoleToken.bind(deployment.console), { token });
  const revoke = async (instanceUuid: string): Promise<number> => {
    const call = deployment.console.revokeConsoleTokens.bind(deployment.console);
    return responseOf(await callUnary(call, { instanceUuid })).revoked;
  };
  const expire = (token: string): Promise<unknown> =>
    runStatement(
      deployment.databaseUrl,
      "update console_auth_tokens set expires = extract(epoch from now())::bigint - 1 where token_hash = $1",
      [hashOf(token)],
    );

  it("can be looked up again and again: that does not use it up", async () => {
    const token = await issue(first);
    const target = { instanceUuid: first, host: "127.0.0.1", port: 5900, tlsPort: 0, internalAccessPath: "" };
    expect(responseOf(await lookup(token))).to.deep.equal(target);
    expect(responseOf(await lookup(token))).to.deep.equal(target);
  });

  it("of a native proxy opens nothing here, and can be looked up until it expires", async () => {
    const { url, consoleType } = responseOf(await deployment.getConsole(first, { consoleType: "spice-direct" }));
    expect(url).to.match(/^http:\/\/127\.0\.0\.1:13002\/nova\?token=/);
    expect(consoleType).to.equal("spice-direct");
    for (let times = 0; times < 2; times += 1) {
      const { status, body } = await postToken(deployment.proxy, tokenOf(url));
      expect({ status, reason: body["reason"] }).to.deep.equal({ status: 400, reason: "CONSOLE_TYPE_INVALID" });
      expect(responseOf(await lookup(tokenOf(url)))).to.deep.include({ instanceUuid: first, port: 5900 });
    }
    await expire(tokenOf(url));
    expect(await lookup(tokenOf(url))).to.have.nested.property("failure.reason", "TOKEN_NOT_FOUND");
  });

  it("is not found where it is unknown, and not even looked for where it is malformed", async () => {
    const unknown = await lookup("A".repeat(43));
    expect(unknown).to.have.nested.property("failure.reason", "TOKEN_NOT_FOUND");
    for (const malformed of ["", "A".repeat(129), "A\u0000B"]) {
      expect(await lookup(malformed)).to.have.nested.property("failure.info.metadata.field", "token");
    }
  });

  it("is not found any more once it has expired", async () => {
    const token = await issue(first);
    await expire(token);
    expect(await lookup(token)).to.have.nested.property("failure.reason", "TOKEN_NOT_FOUND");
  });

  it("goes with a revocation, which says how many went and leaves other instances alone", async () => {
    const [kept, ...revoked] = [await issue(first), await issue(second), await issue(second)];
    expect(await revoke(second)).to.equal(2);
    expect(await revoke(second)).to.equal(0);
    for (const token of revoked) {
      expect(await lookup(token)).to.have.nested.property("failure.reason", "TOKEN_NOT_FOUND");
    }
    responseOf(await lookup(kept));
  });

  it("cannot be revoked for an instance that does not exist", async () => {
    const call = deployment.console.revokeConsoleTokens.bind(deployment.console);
    const result = await callUnary(call, { instanceUuid: randomUUID() });
    expect(result).to.have.nested.property("failure.reason", "INSTANCE_NOT_FOUND");
  });

  it("goes with its instance", async () => {
    const token = await issue(third);
    expect(responseOf(await remove(deployment, third)).revokedTokens).to.equal(1);
    expect(await lookup(token)).to.have.nested.property("failure.reason", "TOKEN_NOT_FOUND");
    expect(await deployment.getConsole(third)).to.have.nested.property("failure.reason", "INSTANCE_NOT_FOUND");
  });

  it("is stored as its SHA-256 and nowhere in plain", async () => {
    const token = await issue(first);
    const rows = await runStatement(
      deployment.databaseUrl,
      "select instance_uuid from console_auth_tokens where token_hash = $1",
      [hashOf(token)],
    );
    expect(rows).to.deep.equal([{ instance_uuid: first }]);
    expect(await dumpDatabase(deployment.databaseUrl))
      .to.include(hashOf(token))
      .and.not.include(token);
    expect(deployment.logs()).to.include("call served").and.not.include(token);
  });

  it("leaves an audit row for each act, with the caller's request id", async () => {
    const headers = { "x-request-id": "audit-1" };
    const token = tokenOf(responseOf(await deployment.getConsole(first, { headers })).url);
    const { console } = deployment;
    await callUnary(console.lookupConsoleToken.bind(console), { token }, { headers });
    await callUnary(console.revokeConsoleTokens.bind(console), { instanceUuid: first }, { headers });
    const rows = await runStatement(
      deployment.databaseUrl,
      `select action, subject, instance_uuid, client_address from audit_events where request_id = 'audit-1'
       order by event_id`,
    );
    const common = { subject: "loopback", instance_uuid: first, client_address: "127.0.0.1" };
    expect(rows).to.deep.equal(["issued", "looked-up", "revoked"].map((action) => ({ action, ...common })));
  });

  it("is purged from the table some time after it has expired", async () => {
    const token = await issue(first);
    const kept = await issue(first);
    await expire(token);
    const count = (hash: string): Promise<readonly unknown[]> =>
      runStatement(deployment.databaseUrl, "select id from console_auth_tokens where token_hash = $1", [hash]);
    const purged = async (): Promise<boolean> => (await count(hashOf(token))).length === 0;
    await waitUntil(purged, { ms: PURGED_MS, what: "the sweep to delete the token" });
    expect(await count(hashOf(kept))).to.have.length(1);
  });
});

describe("the search for secrets at the end of each scenario", function () {
  this.timeout(60_000);

  async function stopAfter(
    plant: (deployment: Deployment, token: string, uuid: string) => Promise<unknown>,
  ): Promise<Error> {
    const uuid = randomUUID();
    const { deployment, agent } = await start([uuid]);
    await plant(deployment, tokenOf(responseOf(await deployment.getConsole(uuid)).url), uuid);
    agent.close();
    return rejectionOf(deployment.stop());
  }

  it("finds a token in a log", async () => {
    const error = await stopAfter(({ controller }, token) => appendFile(controller.logFile, `{"msg":"${token}"}\n`));
    expect(error.message).to.equal("a secret stands in plain in the logs");
  });

  it("finds a token that a client of another kind was given", async () => {
    const error = await stopAfter(async ({ console, controller }, _token, instanceUuid) => {
      const call = callUnary(console.getSpiceConsole.bind(console), { instanceUuid, consoleType: "" });
      await appendFile(controller.logFile, `{"msg":"opened ${responseOf(await call).url}"}\n`);
    });
    expect(error.message).to.equal("a secret stands in plain in the logs");
  });

  it("finds the secret of a tunnel, which nobody but its two ends knows", async () => {
    const secret = randomBytes(32).toString("base64url");
    const error = await stopAfter(({ controller }) =>
      appendFile(controller.logFile, `{"msg":"dials with ${secret}"}\n`),
    );
    expect(error.message).to.equal("a secret stands in plain in the logs");
  });

  it("finds a token in the database", async () => {
    const error = await stopAfter(({ databaseUrl }, token) =>
      runStatement(databaseUrl, "update hosts set agent_version = $1", [token]),
    );
    expect(error.message).to.equal("a secret stands in plain in the database");
  });
});
