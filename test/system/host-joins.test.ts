// SPDX-License-Identifier: Apache-2.0
// A host from its first token to its revocation and back, by commands alone, with two controllers.
import { expect } from "chai";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ChildProgram } from "../../demo/child-program.js";
import type { DemoMachine } from "../../demo/demo-machine.js";
import { defineAndStart } from "../../demo/demo-machine.js";
import { freePort } from "../../demo/ports.js";
import { createRunFolder, removeRunFolder } from "../../demo/run-folder.js";
import { PROJECT_FOLDER } from "../../demo/spicegate-programs.js";
import { waitUntil } from "../../demo/wait-until.js";
import { AuditAction } from "../../proto/gen/spicegate/audit/v1/audit.js";
import { outputOfSpicegate, spicegate } from "../harness/cli.js";
import type { LogEntry, Settings } from "../harness/deployment.js";
import { Deployment, entriesOf } from "../harness/deployment.js";
import { callUnary } from "../harness/grpc-client.js";
import { sharedLibvirtd } from "../harness/hypervisor.js";
import { responseOf } from "../harness/inventory-calls.js";
import { rejectionOf } from "../harness/rejection.js";
import { runCommand } from "../harness/run-command.js";
import { createDatabase } from "../harness/test-database.js";
import type { ViewerSocket } from "../harness/viewer.js";

const HOST = "host-1";
const EFFECTIVE_MS = 2_000;
const AGENT = join(PROJECT_FOLDER, "dist/agent/main.js");

describe("A host that joins", function () {
  this.timeout(120_000);
  const folder = createRunFolder();
  const caFile = join(folder, "ca/ca.pem");
  let libvirtUri: string;
  let machine: DemoMachine;
  let controllers: readonly [Deployment, Deployment];
  let agent: ChildProgram;
  let used: string;
  let open: ViewerSocket;

  before(async () => {
    const libvirtd = await sharedLibvirtd();
    libvirtUri = libvirtd.uri;
    machine = await defineAndStart(libvirtd, { name: "host-joins", displays: ["spice-none"] });
    await outputOfSpicegate(["ca", "init", "--out", join(folder, "ca")]);
    const out = join(folder, "controller");
    await outputOfSpicegate([
      "ca",
      "issue",
      "--ca",
      join(folder, "ca"),
      "--address",
      "127.0.0.1",
      "--name",
      "localhost",
      "--out",
      out,
    ]);
    const [cert, key] = [join(out, "controller.pem"), join(out, "controller.key")];
    const controller = {
      api: { cert, key },
      agents: { cert, key, ca_file: caFile },
      enrollment: { ca_cert: caFile, ca_key: join(folder, "ca/ca.key") },
    };
    const databaseUrl = await createDatabase();
    const options = { databaseUrl, controller, apiAuthority: readFileSync(caFile, "utf8") };
    controllers = [await Deployment.create(options), await Deployment.create(options)];
    await Promise.all(controllers.map((each) => each.controller.start()));
  });

  after(async () => {
    const stops = await Promise.allSettled(controllers.map((controller) => controller.stop()));
    await removeRunFolder(folder);
    for (const stop of stops) if (stop.status === "rejected") throw stop.reason;
  });

  /** Where the commands ask. */
  const env = (): Record<string, string> => ({ SPICEGATE_API: controllers[0].api, SPICEGATE_CACERT: caFile });

  const identity = (name: string): { identity_folder: string; join_token_file: string } => ({
    identity_folder: join(folder, name),
    join_token_file: join(folder, `${name}.token`),
  });

  function settings(name: string): Settings {
    const [one, other] = controllers;
    return { agent: { enrollment: [one.api, other.api], controllers: [one.agents], ...identity(name) } };
  }

  async function putToken(name: string): Promise<string> {
    const token = await outputOfSpicegate(["host", "token", "--host", HOST], env());
    writeFileSync(identity(name).join_token_file, token, { mode: 0o600 });
    return token;
  }

  async function startAgent(): Promise<void> {
    agent = controllers[0].addAgent(HOST, libvirtUri, `127.0.0.1:${await freePort()}`, settings("identity"));
    await agent.start();
  }

  const answers = async (controller: Deployment): Promise<boolean> => (await controller.getConsole(machine.uuid)).ok;

  async function consolesOpen(): Promise<void> {
    for (const each of controllers) {
      await waitUntil(() => answers(each), { ms: 20_000, what: "a console of each controller" });
    }
    open = (await (await controllers[1].openConsole(machine.uuid)).joinMain()).main;
  }

  it("gets its certificate by itself, and its consoles open", async () => {
    used = await putToken("identity");
    await startAgent();
    await consolesOpen();
    expect(existsSync(identity("identity").join_token_file)).to.equal(false);
    expect(await outputOfSpicegate(["host", "list"], env())).to.match(/host-1 +\S+Z +\S+Z/);
  });

  it("lets nobody else in with the token that it has used", async () => {
    const thief = identity("thief");
    writeFileSync(thief.join_token_file, used);
    const config = join(folder, "thief.yaml");
    writeFileSync(
      config,
      JSON.stringify({ ...settings("thief"), agent: { ...settings("thief")["agent"], host: HOST } }),
    );
    const { code, stderr } = await runCommand(process.execPath, [AGENT, "--config", config, "enroll"]);
    expect(code).to.equal(2);
    expect(stderr).to.include("refuses the join token").and.not.include(used.trim());
    expect(existsSync(join(thief.identity_folder, "host.pem"))).to.equal(false);
  });

  it("is cut from both controllers within two seconds of its revocation, with what is open", async () => {
    const { code } = await spicegate(["host", "revoke", HOST], env());
    const since = performance.now();
    expect(code).to.equal(0);
    const gone = async (): Promise<boolean> => {
      const consoles = await Promise.all(controllers.map((each) => each.getConsole(machine.uuid)));
      return consoles.every((result) => !result.ok && result.failure.reason === "AGENT_UNAVAILABLE");
    };
    await waitUntil(gone, { ms: EFFECTIVE_MS, what: "both controllers to lose the agent" });
    await open.ends(EFFECTIVE_MS);
    expect(performance.now() - since).to.be.lessThan(EFFECTIVE_MS);
  });

  it("stays out, and its log says what to do", async () => {
    const entries = (): LogEntry[] => (existsSync(agent.logFile) ? entriesOf(agent.logFile) : []);
    const refusals = (): string[] =>
      entries()
        .map(({ detail }) => String(detail))
        .filter((detail) => detail.startsWith("refused (HOST_REVOKED)"));
    await waitUntil(() => refusals().length >= 2, { ms: 10_000, what: "a refusal of each controller" });
    expect(refusals()[0]).to.include("spicegate host token --host host-1");
    await agent.stop();
    agent = controllers[0].addAgent(HOST, libvirtUri, `127.0.0.1:${await freePort()}`, settings("identity"));
    const starting = rejectionOf(agent.start());
    await waitUntil(() => refusals().length >= 1, { ms: 15_000, what: "the refusal after a restart" });
    await agent.stop();
    await starting;
    for (const each of controllers) expect(await answers(each)).to.equal(false);
  });

  it("works again with a new token, and everything is in the audit", async () => {
    await putToken("identity");
    await startAgent();
    await consolesOpen();
    const list = controllers[0].audit.listAuditEvents.bind(controllers[0].audit);
    const all = {
      instanceUuid: "",
      sessionId: "",
      subject: "",
      since: undefined,
      until: undefined,
      action: AuditAction.AUDIT_ACTION_UNSPECIFIED,
    };
    const { events } = responseOf(await callUnary(list, { ...all, pageSize: 1_000, pageToken: "" }));
    const about = events.filter(({ host, instanceUuid }) => host === HOST && instanceUuid === "").reverse();
    const first = about.filter(({ action }, index) => action !== about[index - 1]?.action).map(({ action }) => action);
    expect(first).to.deep.equal([
      AuditAction.AUDIT_ACTION_JOIN_TOKEN_CREATED,
      AuditAction.AUDIT_ACTION_HOST_ENROLLED,
      AuditAction.AUDIT_ACTION_HOST_REVOKED,
      AuditAction.AUDIT_ACTION_REFUSED,
      AuditAction.AUDIT_ACTION_JOIN_TOKEN_CREATED,
      AuditAction.AUDIT_ACTION_HOST_ENROLLED,
    ]);
  });
});
