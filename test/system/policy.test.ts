// SPDX-License-Identifier: Apache-2.0
// The policy as operators meet it: a file, read at the start and whenever it changes; and what a member of a project can
// learn of what belongs to another one.
import { expect } from "chai";
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PROJECT_FOLDER } from "../../demo/spicegate-programs.js";
import { waitUntil } from "../../demo/wait-until.js";
import { AuditAction } from "../../proto/gen/spicegate/audit/v1/audit.js";
import { Deployment } from "../harness/deployment.js";
import type { CallResult } from "../harness/grpc-client.js";
import { callUnary } from "../harness/grpc-client.js";
import { get, register, remove, responseOf, update } from "../harness/inventory-calls.js";
import type { RestAnswer, RestClient } from "../harness/rest-client.js";
import { runCommand } from "../harness/run-command.js";
import { beginSession } from "../harness/stored-sessions.js";
import { TestDatabase } from "../harness/test-database.js";

const MEMBER = { subject: "mallory", project: "ours", roles: ["member"] };
const CONTROLLER = join(PROJECT_FOLDER, "dist/src/main.js");
const reasonOf = (result: CallResult<unknown>): string => (result.ok ? "OK" : result.failure.reason);

describe("policy.file", function () {
  this.timeout(60_000);
  const folder = mkdtempSync(join(tmpdir(), "policy-"));
  const file = join(folder, "policy.yaml");
  const run = (command: string): ReturnType<typeof runCommand> =>
    runCommand(process.execPath, [CONTROLLER, command], { env: { SPICEGATE_POLICY__FILE: file } });

  after(() => rmSync(folder, { recursive: true }));

  it("keeps a program from starting where it is no good, and check-config says so too", async () => {
    writeFileSync(file, "console:opne: [member]\nhost:write: [member]\n");
    for (const command of ["serve", "consoleauth", "migrate", "check-config"]) {
      const { code, stderr } = await run(command);
      expect(code, command).to.equal(2);
      expect(stderr)
        .to.contain("policy.file: console:opne: no such verb; did you mean console:open?")
        .and.contain("policy.file: host:write: not for member");
    }
    writeFileSync(file, "console:open: [member]\n");
    expect((await run("check-config")).code).to.equal(0);
  });

  it("decides alone who may do what, also after it has changed, and a broken one changes nothing", async () => {
    writeFileSync(file, "instance:read: [admin]\n");
    const controller = { policy: { file }, identity: { loopback_caller: { subject: "root", roles: ["admin"] } } };
    const deployment = await Deployment.start({ controller });
    const ask = async (): Promise<string> => reasonOf(await get(deployment, randomUUID()));
    const answers = (reason: string): Promise<void> =>
      waitUntil(async () => (await ask()) === reason, { ms: 10_000, what: `the answer ${reason}` });
    try {
      expect(await ask()).to.equal("INSTANCE_NOT_FOUND");
      expect(reasonOf(await deployment.getConsole(randomUUID())), "not listed").to.equal("PERMISSION_DENIED");
      expect((await deployment.rest.get("/v2.1/servers")).status).to.equal(200);
      writeFileSync(file, "console:open: [admin]\n");
      await answers("PERMISSION_DENIED");
      expect((await deployment.rest.get("/v2.1/servers")).status).to.equal(403);
      expect((await deployment.rest.remoteConsole(randomUUID())).status).to.equal(404);
      writeFileSync(file, "console:open: [root]\n");
      await deployment.logged({ msg: "the new policy is no good; the one before stays in effect" });
      expect(await deployment.metric("spicegate_policy_reload_failures_total")).to.equal(1);
      expect(reasonOf(await deployment.getConsole(randomUUID()))).to.equal("INSTANCE_NOT_FOUND");
      writeFileSync(file, "instance:read: [admin]\n");
      await answers("INSTANCE_NOT_FOUND");
    } finally {
      await deployment.stop();
    }
  });
});

describe("Another project", function () {
  this.timeout(60_000);
  const theirs = randomUUID();
  const nobodys = randomUUID();
  const noSession = "A".repeat(22);
  let admin: Deployment;
  let member: Deployment;
  let db: TestDatabase;
  let theirSession: string;

  before(async () => {
    member = await Deployment.start({ controller: { identity: { loopback_caller: MEMBER } } });
    admin = await Deployment.start({ databaseUrl: member.databaseUrl });
    await register(admin, { instanceUuid: theirs, projectId: "theirs", host: "a" });
    db = await TestDatabase.over(member.databaseUrl);
    theirSession = (await beginSession(db, theirs)).session.sessionId;
  });
  after(async () => {
    await db.stop();
    await Promise.all([admin.stop(), member.stop()]);
  });

  /** What is answered of the one, where it stands in place of the other, is byte for byte what is answered of that. */
  async function expectAlike(ask: (id: string) => Promise<unknown>, [one, other]: [string, string]): Promise<unknown> {
    const words = async (id: string): Promise<string> => JSON.stringify(await ask(id)).replaceAll(id, other);
    const answer = await words(other);
    expect(await words(one)).to.equal(answer);
    return JSON.parse(answer);
  }

  const failure = (result: CallResult<unknown>): unknown => (result.ok ? result.response : result.failure);

  it("has no instance that a member could find over gRPC", async () => {
    const { console } = member;
    const revoke = console.revokeConsoleTokens.bind(console);
    const calls = [
      async (id: string) => failure(await get(member, id)),
      async (id: string) => failure(await member.getConsole(id)),
      async (id: string) => failure(await member.getConsole(id, { consoleType: "spice-direct" })),
      async (instanceUuid: string) => failure(await callUnary(revoke, { instanceUuid })),
    ];
    for (const call of calls) {
      expect(await expectAlike(call, [theirs, nobodys])).to.include({ reason: "INSTANCE_NOT_FOUND" });
    }
    for (const call of [
      async (id: string) => failure(await remove(member, id)),
      async (id: string) => failure(await update(member, { instanceUuid: id, name: "mine" }, ["name"])),
    ]) {
      expect(await expectAlike(call, [theirs, nobodys])).to.include({ reason: "PERMISSION_DENIED" });
    }
  });

  it("has no session that a member could find, nor end", async () => {
    const { session } = member;
    const calls = [session.getSession.bind(session), session.terminateSession.bind(session)];
    for (const call of calls) {
      const ask = async (sessionId: string): Promise<unknown> => failure(await callUnary(call, { sessionId }));
      expect(await expectAlike(ask, [theirSession, noSession])).to.include({ reason: "SESSION_NOT_FOUND" });
    }
    const get = admin.session.getSession.bind(admin.session);
    const answer = responseOf(await callUnary(get, { sessionId: theirSession }));
    expect(answer.session?.endedAt).to.equal(undefined);
  });

  it("has no server that a member could find over REST", async () => {
    const { rest } = member;
    const calls: readonly ((rest: RestClient, id: string) => Promise<RestAnswer>)[] = [
      (to, id) => to.get(`/v2.1/servers/${id}`),
      (to, id) => to.get(`/v2.1/ours/servers/${id}`),
      (to, id) => to.remoteConsole(id),
      (to, id) => to.remoteConsole(id, { type: "spice-direct", version: "2.99" }),
      (to, id) => to.legacyConsole(id),
    ];
    for (const call of calls) {
      const ask = async (id: string): Promise<unknown> => {
        const { status, headers, text } = await call(rest, id);
        const others = [...headers].filter(([name]) => name !== "date" && !name.endsWith("request-id"));
        return { status, headers: others, text };
      };
      expect(await expectAlike(ask, [theirs, nobodys])).to.include({ status: 404 });
    }
    expect((await rest.get(`/v2.1/servers?marker=${theirs}`)).status).to.equal(400);
    expect((await rest.get(`/v2.1/servers?marker=${nobodys}`)).status).to.equal(400);
  });

  it("leaves in the audit what a member has tried, the same for both", async () => {
    const list = admin.audit.listAuditEvents.bind(admin.audit);
    for (const instanceUuid of [theirs, nobodys]) {
      const refused = async (): Promise<boolean> => {
        const request = {
          instanceUuid,
          sessionId: "",
          subject: "mallory",
          action: AuditAction.AUDIT_ACTION_REFUSED,
          pageSize: 0,
          pageToken: "",
        };
        const { events } = responseOf(await callUnary(list, { ...request, since: undefined, until: undefined }));
        return events.some(({ reason }) => reason === "INSTANCE_NOT_FOUND");
      };
      await waitUntil(refused, { ms: 10_000, what: "the refusal in the audit" });
    }
  });
});
