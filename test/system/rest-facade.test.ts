// SPDX-License-Identifier: Apache-2.0
// Nova's API as Nova's own clients use it, over a real controller and agent.
import { expect } from "chai";
import { randomUUID } from "node:crypto";
import type { DemoMachine } from "../../demo/demo-machine.js";
import { defineAndStart, defineMachine } from "../../demo/demo-machine.js";
import type { PrivateLibvirtd } from "../../demo/private-libvirtd.js";
import { Deployment } from "../harness/deployment.js";
import { callUnary } from "../harness/grpc-client.js";
import { sharedLibvirtd } from "../harness/hypervisor.js";
import { register } from "../harness/inventory-calls.js";
import { discardMachines } from "../harness/machines.js";
import type { RestAnswer } from "../harness/rest-client.js";
import { consoleUrlOf, faultOf } from "../harness/rest-client.js";
import type { CommandResult } from "../harness/run-command.js";
import { outputOf, runCommand } from "../harness/run-command.js";
import { tokenOf, Viewer } from "../harness/viewer.js";

const PROJECT = "p1";
const URL = /^http:\/\/127\.0\.0\.1:\d+\/console#token=[\w-]{43}$/;

/** What the library does for a program: finds a server by its name, asks for a console, lists, and misses one. */
const PROGRAM = `
import json, sys
from keystoneauth1 import session, token_endpoint
import openstack
endpoint, name = sys.argv[1:]
conn = openstack.connection.Connection(
    session=session.Session(auth=token_endpoint.Token(endpoint, "demo")), compute_endpoint_override=endpoint)
server = conn.compute.find_server(name, ignore_missing=False)
console = conn.compute.create_server_remote_console(server, protocol="spice", type="spice-html5")
print(json.dumps({
    "server": server.id, "status": conn.compute.get_server(server).status, "found_by_id": conn.compute.find_server(server.id).name,
    "console": {"protocol": console.protocol, "type": console.type, "url": console.url},
    "in_pages": sorted(each.id for each in conn.compute.servers(limit=1, name=name)),
    "missing": conn.compute.find_server("nothing-like-it"),
}))
`;

describe("the REST facade", function () {
  this.timeout(120_000);
  let libvirtd: PrivateLibvirtd;
  let deployment: Deployment;
  let machine: DemoMachine;
  let off: DemoMachine;

  before(async () => {
    libvirtd = await sharedLibvirtd();
    machine = await defineAndStart(libvirtd, { name: "facade", displays: ["spice-tcp"] });
    off = await defineMachine(libvirtd, { name: "facade-off", displays: ["spice-tcp"] });
    deployment = await Deployment.start({ libvirtUri: libvirtd.uri });
    await Promise.all([deployment.knows(machine.uuid), deployment.knows(off.uuid)]);
  });
  after(async () => {
    await deployment.stop();
    await discardMachines(libvirtd, [machine, off]);
  });

  const endpoint = (): string => `http://${deployment.gateway}/v2.1`;

  /** Runs Debian's client of OpenStack, as an operator would. */
  function openstack(...args: string[]): Promise<CommandResult> {
    const identity = ["--os-auth-type", "admin_token", "--os-token", "demo", "--os-endpoint", endpoint()];
    return runCommand("openstack", [...identity, ...args], { ms: 60_000 });
  }

  describe("to Debian's openstack command", () => {
    for (const by of ["name", "uuid"] as const) {
      it(`gives a console URL by ${by}`, async () => {
        const { stdout, stderr } = await openstack("console", "url", "show", "--spice", machine[by], "-f", "json");
        const console = JSON.parse(stdout || stderr) as { url: string };
        expect(console).to.include({ protocol: "spice", type: "spice-html5" });
        expect(console.url).to.match(URL);
        expect((await Viewer.open(deployment.proxy, tokenOf(console.url))).sessionId).to.not.be.empty;
      });
    }

    it("gives one to a client of the first versions", async () => {
      const old = ["--os-compute-api-version", "2.5"];
      const { stdout } = await openstack(...old, "console", "url", "show", "--spice", machine.uuid, "-f", "value");
      expect(stdout)
        .to.match(/^spice-html5$/m)
        .and.match(/^http\S+#token=[\w-]{43}$/m);
    });

    it("says in its words why there is none", async () => {
      const notRunning = await openstack("console", "url", "show", "--spice", off.name);
      expect(notRunning).to.include({ code: 1 });
      expect(notRunning.stderr).to.match(/409.*not running; start or resume it/);
      expect((await openstack("console", "url", "show", "--novnc", machine.name)).stderr).to.match(/400.*use "spice"/);
      expect((await openstack("console", "url", "show", "--spice", "nothing")).stderr).to.contain("No Server found");
    });

    it("lists and shows servers", async () => {
      const { stdout: listed, stderr } = await openstack("server", "list", "-n", "--name", "facade", "-f", "json");
      const servers = JSON.parse(listed || stderr) as { Name: string; Status: string }[];
      const found = servers.map(({ Name, Status }) => [Name, Status]);
      expect(found).to.have.deep.members([
        ["facade", "ACTIVE"],
        ["facade-off", "SHUTOFF"],
      ]);
      const { stdout: shown } = await openstack("server", "show", machine.name, "-f", "json");
      expect(JSON.parse(shown)).to.include({ id: machine.uuid, "OS-EXT-SRV-ATTR:host": deployment.host });
    });
  });

  it("serves openstacksdk: servers by name, by id and in pages, and a console", async () => {
    const out = await outputOf("/usr/bin/python3", ["-c", PROGRAM, endpoint(), machine.name], { ms: 60_000 });
    const { console, in_pages: pages, ...rest } = JSON.parse(out) as Record<string, unknown>;
    expect(rest).to.deep.equal({ server: machine.uuid, status: "ACTIVE", found_by_id: machine.name, missing: null });
    expect(console).to.include({ protocol: "spice", type: "spice-html5" });
    expect(console).to.have.property("url").that.matches(URL);
    expect(pages).to.deep.equal([machine.uuid, off.uuid].sort());
  });

  describe("in its two ways to a console", () => {
    const ways = {
      "remote-consoles": (uuid: string): Promise<RestAnswer> => deployment.rest.remoteConsole(uuid),
      "the action": (uuid: string): Promise<RestAnswer> => deployment.rest.legacyConsole(uuid),
    };
    for (const [way, ask] of Object.entries(ways)) {
      it(`by ${way} issues what gRPC knows too`, async () => {
        const token = tokenOf(consoleUrlOf(await ask(machine.uuid)));
        const lookup = deployment.console.lookupConsoleToken.bind(deployment.console);
        expect(await callUnary(lookup, { token })).to.have.nested.property("response.instanceUuid", machine.uuid);
        const { body } = await deployment.rest.lookup(token);
        expect(body).to.have.nested.property("console.instance_uuid", machine.uuid);
        expect((await deployment.rest.lookup(token)).status).to.equal(200);
        await Viewer.open(deployment.proxy, token);
        expect((await deployment.rest.lookup(token)).status).to.equal(404);
      });

      it(`by ${way} refuses in Nova's words`, async () => {
        const registered = async (more: object): Promise<string> =>
          (await register(deployment, { instanceUuid: randomUUID(), ...more })).instanceUuid;
        const expected: [instance: string, code: number, name: string][] = [
          [randomUUID(), 404, "itemNotFound"],
          ["facade", 404, "itemNotFound"],
          [await registered({ vmState: "building" }), 409, "conflictingRequest"],
          [await registered({ host: "host-9", taskState: "migrating" }), 409, "conflictingRequest"],
          [off.uuid, 409, "conflictingRequest"],
          [await registered({ host: "host-9" }), 503, "serviceUnavailable"],
        ];
        for (const [instance, code, name] of expected) {
          expect(faultOf(await ask(instance)), instance).to.include({ code, name });
        }
      });
    }

    it("refuses what is no SPICE only after it has looked at the instance", async () => {
      const unknown = randomUUID();
      for (const [protocol, type] of [
        ["spice", "novnc"],
        ["vnc", "spice-html5"],
        ["rdp", "rdp-html5"],
      ] as const) {
        const ask = (uuid: string): Promise<RestAnswer> => deployment.rest.remoteConsole(uuid, { protocol, type });
        expect(faultOf(await ask(machine.uuid)), protocol).to.include({ code: 400, name: "badRequest" });
        expect(faultOf(await ask(unknown)), protocol).to.include({ code: 404 });
      }
    });
  });

  it("lists page by page, and refuses a marker that is no instance", async () => {
    const seen: string[] = [];
    let path = "/v2.1/servers?limit=1&name=facade";
    while (path !== "") {
      const { body } = await deployment.rest.get(path);
      const { servers, servers_links: links = [] } = body as {
        servers: { id: string }[];
        servers_links?: { href: string }[];
      };
      seen.push(...servers.map(({ id }) => id));
      path = links[0]?.href.slice(`http://${deployment.gateway}`.length) ?? "";
    }
    expect(seen).to.deep.equal([machine.uuid, off.uuid].sort());
    const unknown = await deployment.rest.get(`/v2.1/servers?marker=${randomUUID()}`);
    expect(faultOf(unknown)).to.include({ code: 400, message: "marker must be the id of an instance" });
  });

  it("leaves the same request id in the answer, the log, the agent's log and the audit", async () => {
    const headers = { "x-openstack-request-id": "req-facade-1" };
    const body = { remote_console: { protocol: "spice", type: "spice-html5" } };
    const path = `/v2.1/servers/${machine.uuid}/remote-consoles`;
    const answer = await deployment.rest.post(path, body, { version: "2.6", headers });
    expect(answer.headers.get("x-compute-request-id")).to.equal("req-facade-1");
    const line = await deployment.logged({ requestId: "req-facade-1", msg: "request served" });
    expect(line).to.include({ route: "/v2.1/servers/{server}/remote-consoles", subject: "loopback", status: 200 });
    expect(await deployment.logged({ audit: "issued", requestId: "req-facade-1" })).to.include({ client: "127.0.0.1" });
    expect(deployment.agentLog().some(({ requestId }) => requestId === "req-facade-1")).to.equal(true);
  });

  describe("for other callers", () => {
    async function withIdentity(identity: object, test: (other: Deployment) => Promise<void>): Promise<void> {
      const other = await Deployment.start({ controller: { identity: { ...identity } } });
      try {
        await test(other);
      } finally {
        await other.stop();
      }
    }

    it("refuses everybody where loopback is not trusted, as gRPC does", async () => {
      await withIdentity({ trust_loopback: false }, async (other) => {
        expect((await other.rest.get("/v2.1", { token: null })).status).to.equal(200);
        const answer = await other.rest.get("/v2.1/servers");
        expect(answer.status).to.equal(401);
        expect(answer.text).to.contain("the token is unknown");
        const { ok, ...result } = await other.getConsole(randomUUID());
        expect(ok).to.equal(false);
        expect(result).to.have.nested.property("failure.reason", "UNAUTHENTICATED");
        expect(result).to.have.nested.property("failure.message").that.contains("spicegate user token");
      });
    });

    it("shows a reader its own project alone, and looks up no token for it", async () => {
      const [mine, theirs] = [randomUUID(), randomUUID()];
      const caller = { subject: "m", project: PROJECT, roles: ["reader", "service"] };
      await withIdentity({ loopback_caller: { ...caller, roles: ["service"] } }, async (service) => {
        await register(service, { instanceUuid: mine, name: "mine", projectId: PROJECT, host: "h" });
        await register(service, { instanceUuid: theirs, name: "theirs", projectId: "p2", host: "h" });
        const readers = await Deployment.start({
          databaseUrl: service.databaseUrl,
          controller: { identity: { loopback_caller: { ...caller, roles: ["reader"] } } },
        });
        try {
          const { body } = await readers.rest.get(`/v2.1/${PROJECT}/servers/detail?project_id=p2&all_tenants=1`);
          expect((body as { servers: { id: string }[] }).servers.map(({ id }) => id)).to.deep.equal([mine]);
          expect(body).not.to.have.nested.property("servers[0].OS-EXT-SRV-ATTR:host");
          expect(faultOf(await readers.rest.get(`/v2.1/servers/${theirs}`))).to.include({ code: 404 });
          expect(faultOf(await readers.rest.get("/v2.1/p2/servers"))).to.include({ code: 400 });
          for (const id of [theirs, randomUUID()]) {
            expect(faultOf(await readers.rest.remoteConsole(id))).to.include({ code: 404, name: "itemNotFound" });
          }
          expect(faultOf(await readers.rest.lookup("t"))).to.include({ code: 403 });
        } finally {
          await readers.stop();
        }
      });
    });
  });

  it("stays up and answers whatever it is sent", async () => {
    const { rest } = deployment;
    const action = `/v2.1/servers/${machine.uuid}/action`;
    const deep = `{"os-getSPICEConsole":${'{"type":'.repeat(1_500)}1${"}".repeat(1_501)}`;
    const sent: [answer: Promise<RestAnswer>, code: number][] = [
      [rest.post(action, {}, { rawBody: deep }), 400],
      [rest.post(action, {}, { rawBody: '{"__proto__":{"type":"spice-html5"}}' }), 400],
      [rest.post(action, {}, { rawBody: "\0" }), 400],
      [rest.post(action, {}, { rawBody: "x".repeat(1_000_000) }), 413],
      [rest.post(action, {}, { headers: { "content-type": "text/xml" }, rawBody: "<a/>" }), 415],
      [rest.get(`/v2.1/servers/${"x".repeat(8_000)}`), 404],
      [rest.get("/v2.1/servers/%00"), 404],
      [rest.get("/v2.1/servers/%zz"), 400],
      [rest.get("/v2.1/servers/..%2f..%2fetc"), 404],
      [rest.get(`/v2.1/servers?name=${encodeURIComponent("(a+)+$".repeat(20))}`), 200],
      [rest.get("/v2.1/servers?name=%00"), 400],
      [rest.get(`/v2.1/servers?${"a=1&".repeat(2_000)}`), 200],
      [rest.get("/v2.1/servers?__proto__=1&constructor=2&limit=1"), 200],
      [rest.get("/v2.1/servers", { version: `2.${"9".repeat(5_000)}` }), 406],
      [rest.get("/v2.1/servers", { method: "TRACE" }).catch(() => rest.get(action)), 405],
      [rest.get("/v2.1/servers", { method: "PATCH" }), 405],
      [rest.lookup("%00"), 404],
      [rest.lookup("x".repeat(10_000)), 404],
    ];
    for (const [index, [answer, code]] of sent.entries()) {
      const { status, text, headers } = await answer;
      expect(status, `${index}: ${text}`).to.equal(code);
      expect(headers.get("content-type")).to.match(/^application\/json/);
    }
    expect((await rest.remoteConsole(machine.uuid)).status).to.equal(200);
  });
});
