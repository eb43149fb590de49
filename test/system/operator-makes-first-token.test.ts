// SPDX-License-Identifier: Apache-2.0
// Two controllers that trust nobody, from the first token on: the operator's way, by commands alone. At the end the
// deployments look for tokens in their logs and in the database.
import type { ClientReadableStream, ServiceError as GrpcError } from "@grpc/grpc-js";
import { Metadata } from "@grpc/grpc-js";
import { expect } from "chai";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { DemoMachine } from "../../demo/demo-machine.js";
import { defineAndStart } from "../../demo/demo-machine.js";
import { waitUntil } from "../../demo/wait-until.js";
import { AuditAction } from "../../proto/gen/spicegate/audit/v1/audit.js";
import { Instance } from "../../proto/gen/spicegate/inventory/v1/inventory.js";
import { outputOfSpicegate, spicegate } from "../harness/cli.js";
import { Deployment } from "../harness/deployment.js";
import { callUnary, errorDetails } from "../harness/grpc-client.js";
import { sharedLibvirtd } from "../harness/hypervisor.js";
import { responseOf } from "../harness/inventory-calls.js";
import { consoleUrlOf } from "../harness/rest-client.js";
import { createDatabase } from "../harness/test-database.js";
import { within } from "../harness/within.js";

const PROJECT = "p1";
const EFFECTIVE_MS = 2_000;
const DISTRUSTING = { identity: { trust_loopback: false } };

const bearer = (token: string): { headers: Record<string, string> } => ({
  headers: { authorization: `Bearer ${token}` },
});

describe("An operator makes the first token", function () {
  this.timeout(90_000);
  let machine: DemoMachine;
  let one: Deployment;
  let other: Deployment;
  let config: string;
  let admin: string;

  before(async () => {
    const libvirtd = await sharedLibvirtd();
    machine = await defineAndStart(libvirtd, { name: "first-token", displays: ["spice-none"] });
    const databaseUrl = await createDatabase("empty");
    one = await Deployment.create({ databaseUrl, libvirtUri: libvirtd.uri, controller: DISTRUSTING });
    other = await Deployment.create({ databaseUrl, controller: DISTRUSTING });
    config = one.controllerConfig;
  });

  after(async () => {
    await other.stop();
    await one.stop();
  });

  /** Asks the first controller as the bearer of a token. */
  const as = (token: string): Record<string, string> => ({ SPICEGATE_API: one.api, SPICEGATE_TOKEN: token });

  async function makeMember(subject: string, ...more: string[]): Promise<string> {
    const args = ["user", "token", "--subject", subject, "--project", PROJECT, "--role", "member", ...more];
    return (await outputOfSpicegate(args, as(admin))).trim();
  }

  it("straight in the database, once, before or while controllers run", async () => {
    await outputOfSpicegate(["migrate", "--config", config]);
    const first = ["--config", config, "user", "token", "--first", "--subject", "root"];
    const { code, stdout, stderr } = await spicegate(first);
    expect(code).to.equal(0);
    expect(stdout).to.match(/^sgu_[\w-]{43}\n$/);
    expect(stderr).to.match(/^token [0-9a-f]{16} of root, good until \S+Z; it is not shown again\n$/);
    admin = stdout.trim();
    const again = await spicegate(first);
    expect(again).to.deep.include({ code: 1, stdout: "" });
    expect(again.stderr).to.contain("there is a token already");
    await Promise.all([one.controller.start(), other.controller.start()]);
    await one.agent?.start();
  });

  it("is then known by it, from the environment or a file, and by nothing else", async () => {
    const known = /^SUBJECT +PROJECT +ROLES +EXPIRES\nroot +- +admin +\S+Z\n$/;
    expect(await outputOfSpicegate(["whoami"], as(admin))).to.match(known);
    const file = join(one.folder, "token");
    writeFileSync(file, `${admin}\n`, { mode: 0o600 });
    expect(await outputOfSpicegate(["whoami", "--api", other.api, "--token-file", file])).to.match(known);
    const stranger = await spicegate(["whoami", "--api", one.api]);
    expect(stranger).to.deep.include({ code: 1, stdout: "" });
    expect(stranger.stderr).to.contain("UNAUTHENTICATED").and.contain("SPICEGATE_TOKEN").and.contain("--first");
    expect(await one.metric('spicegate_authentication_failures_total{entrance="grpc"}')).to.be.greaterThan(0);
  });

  it("makes tokens for others, who see their own project and cannot make any", async () => {
    const registered = Instance.fromPartial({ instanceUuid: machine.uuid, name: "m", projectId: PROJECT });
    const register = one.inventory.registerInstance.bind(one.inventory);
    responseOf(await callUnary(register, { instance: registered }, bearer(admin)));
    const member = await makeMember("alice");
    const get = one.inventory.getInstance.bind(one.inventory);
    const known = async (): Promise<boolean> =>
      (await callUnary(get, { instanceUuid: machine.uuid }, bearer(member))).ok &&
      (await one.getConsole(machine.uuid, bearer(member))).ok;
    await waitUntil(known, { ms: 20_000, what: "alice's console" });
    const stranger = (
      await outputOfSpicegate(["user", "token", "--subject", "eve", "--project", "p2", "--role", "member"], as(admin))
    ).trim();
    expect(await one.getConsole(machine.uuid, bearer(stranger))).to.have.nested.property(
      "failure.reason",
      "INSTANCE_NOT_FOUND",
    );
    const tried = await spicegate(["user", "token", "--subject", "x", "--role", "admin"], as(member));
    expect(tried).to.deep.include({ code: 1, stdout: "" });
    expect(tried.stderr).to.contain("PERMISSION_DENIED").and.contain("administrator");
  });

  it("lets clients of Nova in with X-Auth-Token or a bearer token, and with no other one", async () => {
    const token = await makeMember("nova-client");
    const body = { remote_console: { protocol: "spice", type: "spice-html5" } };
    const path = `/v2.1/servers/${machine.uuid}/remote-consoles`;
    for (const options of [{ token }, { token: null, ...bearer(token) }]) {
      const answer = await one.rest.post(path, body, { version: "2.8", ...options });
      expect(consoleUrlOf(answer)).to.contain("#token=");
    }
    for (const bad of [`sgu_${"x".repeat(43)}`, "demo"]) {
      const answer = await one.rest.post(path, body, { version: "2.8", token: bad });
      expect([answer.status, answer.headers.get("www-authenticate")]).to.deep.equal([401, 'Bearer realm="spicegate"']);
    }
  });

  it("revokes a token on all controllers within two seconds, and what is watched with it ends", async () => {
    const member = await makeMember("mallory");
    const metadata = new Metadata();
    metadata.set("authorization", `Bearer ${member}`);
    const watches = [one, other].flatMap(({ session, inventory }) => [
      session.watchSessions({ instanceUuid: "" }, metadata) as ClientReadableStream<unknown>,
      inventory.watchInstances({ projectId: "", host: "", name: "", powerState: 0 }, metadata),
    ]);
    await Promise.all(
      watches.map((watch) => within("the beginning of a watch", new Promise((r) => watch.once("data", r)))),
    );
    const ends = watches.map(
      (watch) =>
        new Promise<string>((resolve) => {
          watch.on("error", (error: GrpcError) => resolve(errorDetails(error.metadata).info?.reason ?? error.details));
          watch.resume();
        }),
    );
    const { code, stderr } = await spicegate(["user", "revoke", "--subject", "mallory"], as(admin));
    const since = performance.now();
    expect([code, stderr]).to.deep.equal([0, "revoked 1 token(s)\n"]);
    expect(await within("the end of the watches", Promise.all(ends))).to.deep.equal(Array(4).fill("UNAUTHENTICATED"));
    for (const deployment of [one, other]) {
      const result = await deployment.getConsole(machine.uuid, bearer(member));
      expect(result).to.have.nested.property("failure.reason", "UNAUTHENTICATED");
    }
    expect(performance.now() - since).to.be.lessThan(EFFECTIVE_MS);
    expect((await spicegate(["user", "revoke", "--subject", "mallory"], as(admin))).code).to.equal(1);
  });

  it("asks for hosts by the same way, and is told what is missing", async () => {
    expect(await outputOfSpicegate(["host", "list"], as(admin))).to.match(
      /^HOST +ISSUED +EXPIRES +REVOKED +REVOKED BY\n$/,
    );
    for (const [args, reason] of [
      [["host", "token", "--host", "h", "--ttl", "10m"], /ENROLLMENT_DISABLED: .*enrollment\.ca_cert/],
      [["host", "revoke", "nowhere"], /HOST_NOT_FOUND: .*nowhere/],
    ] as const) {
      const { code, stdout, stderr } = await spicegate(args, as(admin));
      expect([code, stdout]).to.deep.equal([1, ""]);
      expect(stderr).to.match(reason);
    }
  });

  it("sees who has a token, and who made and revoked whose", async () => {
    const listed = await outputOfSpicegate(["user", "list", "--subject", "alice"], as(admin));
    const [id = ""] = /^[0-9a-f]{16}(?= +alice +p1 +member +\S+Z +root$)/m.exec(listed) ?? [];
    expect(await outputOfSpicegate(["user", "revoke", id], as(admin))).to.equal("");
    expect(await outputOfSpicegate(["user", "list"], as(admin))).not.to.contain("alice");
    const list = one.audit.listAuditEvents.bind(one.audit);
    const filters = { instanceUuid: "", sessionId: "", subject: "", since: undefined, until: undefined };
    const { events } = responseOf(
      await callUnary(list, { ...filters, action: 0, pageSize: 0, pageToken: "" }, bearer(admin)),
    );
    const of = (action: AuditAction): string[] =>
      events
        .filter((event) => event.action === action)
        .map(({ subject, targetSubject }) => `${subject} ${targetSubject}`);
    expect(of(AuditAction.AUDIT_ACTION_USER_TOKEN_CREATED)).to.include.members(["spicegate root", "root alice"]);
    expect(of(AuditAction.AUDIT_ACTION_USER_TOKENS_REVOKED)).to.have.members(["root mallory", "root alice"]);
  });
});
