// SPDX-License-Identifier: Apache-2.0
// Callers with tokens of Debian's Keystone, over a real controller and agent.
import { expect } from "chai";
import { randomUUID } from "node:crypto";
import type { DemoMachine } from "../../demo/demo-machine.js";
import { defineAndStart } from "../../demo/demo-machine.js";
import type { PrivateLibvirtd } from "../../demo/private-libvirtd.js";
import { Deployment } from "../harness/deployment.js";
import { sharedLibvirtd } from "../harness/hypervisor.js";
import { register } from "../harness/inventory-calls.js";
import { Keystone, KEYSTONE_PASSWORD } from "../harness/keystone.js";
import { discardMachines } from "../harness/machines.js";
import type { RestAnswer } from "../harness/rest-client.js";
import { consoleUrlOf, faultOf } from "../harness/rest-client.js";
import { runCommand } from "../harness/run-command.js";
import { tokenOf, Viewer } from "../harness/viewer.js";

const RED = { project: "red" };
const BLUE = { project: "blue" };
const SPICE = { remote_console: { protocol: "spice", type: "spice-html5" } };

describe("callers of Keystone", function () {
  this.timeout(120_000);
  let keystone: Keystone;
  let libvirtd: PrivateLibvirtd;
  let deployment: Deployment;
  let machine: DemoMachine;
  /** Every token that was shown. */
  const shown: string[] = [];

  before(async () => {
    keystone = await Keystone.create();
    await keystone.start();
    await keystone.grant("alice", "member", RED);
    await keystone.grant("bob", "member", BLUE);
    await keystone.grant("root", "admin", BLUE);
    await keystone.grant("painter", "painting", RED);
    libvirtd = await sharedLibvirtd();
    machine = await defineAndStart(libvirtd, { name: "keystone", displays: ["spice-tcp"] });
    deployment = await Deployment.start({
      libvirtUri: libvirtd.uri,
      controller: { identity: { ...keystone.settings, keystone_public_url: "https://keystone.example/v3" } },
    });
    await keystone.offer("compute", `http://${deployment.gateway}/v2.1`);
    await deployment.knows(machine.uuid);
    const projectId = await keystone.projectId("red");
    await register(deployment, { instanceUuid: machine.uuid, name: machine.name, projectId, host: deployment.host });
  });
  after(async () => {
    await deployment.stop();
    await discardMachines(libvirtd, [machine]);
    await keystone.stop();
  });
  afterEach(() => {
    for (const token of shown.splice(0)) expect(deployment.logs()).to.not.contain(token);
  });

  async function tokenFor(user: string, project: typeof RED): Promise<string> {
    const token = await keystone.token(user, project);
    shown.push(token);
    return token;
  }

  function askConsole(token: string | null, server = machine.uuid): Promise<RestAnswer> {
    return deployment.rest.post(`/v2.1/servers/${server}/remote-consoles`, SPICE, { version: "2.8", token });
  }

  it("open a console with a password and Debian's openstack command alone", async () => {
    const identity = Object.entries({
      "auth-url": `${keystone.url}/v3`,
      username: "alice",
      password: KEYSTONE_PASSWORD,
      "user-domain-name": "Default",
      "project-name": "red",
      "project-domain-name": "Default",
    }).flatMap(([name, value]) => [`--os-${name}`, value]);
    const command = ["console", "url", "show", "--spice", machine.name, "-f", "json"];
    const { stdout, stderr } = await runCommand("openstack", [...identity, ...command], { ms: 60_000 });
    const { url } = JSON.parse(stdout || stderr) as { url: string };
    expect((await Viewer.open(deployment.proxy, tokenOf(url))).sessionId).to.not.be.empty;
  });

  it("are named by their ids in log and audit", async () => {
    const answer = await askConsole(await tokenFor("alice", RED));
    expect((await Viewer.open(deployment.proxy, tokenOf(consoleUrlOf(answer)))).sessionId).to.not.be.empty;
    const subject = await keystone.userId("alice");
    expect(await deployment.logged({ msg: "request served", subject })).to.include({ status: 200 });
    expect(await deployment.logged({ audit: "issued", subject })).to.include({ client: "127.0.0.1" });
  });

  it("of another project are told the same as of an instance that is not there", async () => {
    const token = await tokenFor("bob", BLUE);
    const [theirs, unknown] = [await askConsole(token), await askConsole(token, randomUUID())];
    expect(faultOf(theirs)).to.include({ code: 404, name: "itemNotFound" });
    expect(theirs.text.replace(machine.uuid, "")).to.equal(unknown.text.replace(/[0-9a-f-]{36}/, ""));
    const { body } = await deployment.rest.get("/v2.1/servers", { token });
    expect(body).to.deep.equal({ servers: [] });
  });

  it("are administrators here with Keystone's role admin", async () => {
    expect((await askConsole(await tokenFor("root", BLUE))).status).to.equal(200);
  });

  it("may do nothing with roles that mean nothing here, whatever the instance", async () => {
    const token = await tokenFor("painter", RED);
    for (const server of [machine.uuid, randomUUID()]) {
      expect(faultOf(await askConsole(token, server))).to.include({ code: 403, name: "forbidden" });
    }
  });

  it("are known by gRPC too", async () => {
    const headers = { authorization: `Bearer ${await tokenFor("alice", RED)}` };
    const { ok } = await deployment.getConsole(machine.uuid, { headers });
    expect(ok).to.equal(true);
  });

  it("are sent to Keystone without a good token, on this machine too", async () => {
    const revoked = await tokenFor("alice", RED);
    await keystone.revoke(revoked);
    for (const token of [null, "demo", revoked]) {
      const answer = await askConsole(token);
      expect(answer.status, String(token)).to.equal(401);
      expect(answer.headers.get("www-authenticate")).to.match(/^Keystone uri="https:\/\/keystone\.example\/v3", /);
    }
  });

  it("go on while Keystone is away, where they were known before; others are told to try again", async () => {
    const [known, other] = [await tokenFor("alice", RED), await tokenFor("bob", BLUE)];
    await askConsole(known);
    keystone.program.kill("SIGKILL");
    await keystone.program.ended;
    expect((await askConsole(known)).status).to.equal(200);
    const answer = await askConsole(other);
    expect(faultOf(answer)).to.include({ code: 503, name: "serviceUnavailable" });
    expect(answer.headers.get("retry-after")).to.equal("1");
    expect(await deployment.logged({ msg: "Keystone cannot be asked" })).to.include({ level: "warn" });
    expect(await deployment.metric('spicegate_keystone_seconds_count{outcome="failed"}')).to.equal(1);
    await keystone.program.start();
    expect((await askConsole(other)).status).to.equal(404);
  });
});
