// SPDX-License-Identifier: Apache-2.0
// How the programs begin and end, seen from outside: exit codes, messages, readiness.
import { expect } from "chai";
import { randomUUID } from "node:crypto";
import type { Server } from "node:net";
import { createServer } from "node:net";
import { join } from "node:path";
import { EmbeddedPostgres } from "../../demo/embedded-postgres.js";
import { freePort } from "../../demo/ports.js";
import { PROJECT_FOLDER } from "../../demo/spicegate-programs.js";
import { waitUntil } from "../../demo/wait-until.js";
import { DrainCause } from "../../proto/gen/spicegate/agent/v1/agent.js";
import { migrate } from "../../src/db/migrate.js";
import { silentLog } from "../../src/lib/log.js";
import { FAKE_ENDPOINT, FakeAgent, fakeDomain } from "../fakes/fake-agent.js";
import { FakeController } from "../fakes/fake-controller.js";
import { Deployment } from "../harness/deployment.js";
import { HealthWatch } from "../harness/health-client.js";
import { startLibvirtd } from "../harness/hypervisor.js";
import { host, responseOf } from "../harness/inventory-calls.js";
import type { CommandResult } from "../harness/run-command.js";
import { outputOf, runCommand } from "../harness/run-command.js";
import { createDatabase } from "../harness/test-database.js";

const CONTROLLER = join(PROJECT_FOLDER, "dist/src/main.js");
const AGENT = join(PROJECT_FOLDER, "dist/agent/main.js");

/** Runs a program that is expected to end by itself. */
function run(main: string, args: readonly string[], env: Record<string, string>): Promise<CommandResult> {
  return runCommand(process.execPath, [main, ...args], { env });
}

async function occupy(): Promise<{ address: string; server: Server }> {
  const port = await freePort();
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  return { address: `127.0.0.1:${port}`, server };
}

/** What /readyz says of one condition. */
async function condition(
  { telemetry }: Deployment,
  name: string,
): Promise<{ ok: boolean; detail: string } | undefined> {
  const response = await fetch(`http://${telemetry}/readyz`).catch(() => undefined);
  const body = (await response?.json()) as { conditions: Record<string, { ok: boolean; detail: string }> } | undefined;
  return body?.conditions[name];
}

describe("a program that cannot start", function () {
  this.timeout(60_000);

  const UNUSABLE = [
    {
      what: "a listener beyond loopback",
      controller: { SPICEGATE_API__LISTEN: "0.0.0.0:50051" },
      agent: { SPICEGATE_TELEMETRY__LISTEN: "0.0.0.0:9465" },
      says: /listen: must be a loopback address .* without TLS nothing is sent beyond this machine/,
    },
    {
      what: "a setting that does not exist",
      controller: { SPICEGATE_API__LISTN: "127.0.0.1:1" },
      agent: { SPICEGATE_LIBVIRT__URL: "qemu:///system" },
      says: /: no such setting; did you mean SPICEGATE_(API__LISTEN|LIBVIRT__URI)\?/,
    },
    {
      what: "a file that is not there",
      controller: { SPICEGATE_CONFIG: "/nowhere/controller.yaml" },
      agent: { SPICEGATE_CONFIG: "/nowhere/agent.yaml" },
      says: /cannot read \/nowhere\/\w+\.yaml/,
    },
  ];
  for (const { what, controller, agent, says } of UNUSABLE) {
    it(`ends with 2 and says why: ${what}`, async () => {
      const ends = await Promise.all([run(CONTROLLER, ["serve"], controller), run(AGENT, [], agent)]);
      for (const { code, stdout, stderr } of ends) {
        expect({ code, stdout }).to.deep.equal({ code: 2, stdout: "" });
        expect(stderr).to.match(says);
      }
    });
  }

  it("names every problem of a settings file at once", async () => {
    const deployment = await Deployment.create({ controller: { consoleauth: { token_ttl: 9 }, spices: {} } });
    try {
      const { code, stderr } = await run(CONTROLLER, ["serve", "--config", deployment.controllerConfig], {});
      expect(code).to.equal(2);
      expect(stderr)
        .to.match(/consoleauth\.token_ttl: .*10/)
        .and.match(/spices: no such setting; did you mean spice\?/);
    } finally {
      await deployment.stop();
    }
  });

  it("ends with 1 and names the address where its port is taken", async () => {
    const { address, server } = await occupy();
    const database = { SPICEGATE_DATABASE__URL: await createDatabase() };
    const free = async (): Promise<string> => `127.0.0.1:${await freePort()}`;
    try {
      const rest = async (): Promise<Record<string, string>> => ({
        ...database,
        SPICEGATE_API__LISTEN: await free(),
        SPICEGATE_AGENTS__LISTEN: await free(),
        SPICEGATE_TELEMETRY__LISTEN: await free(),
      });
      const ends = await Promise.all([
        run(CONTROLLER, ["serve"], { ...(await rest()), SPICEGATE_API__LISTEN: address }),
        run(CONTROLLER, ["serve"], { ...(await rest()), SPICEGATE_AGENTS__LISTEN: address }),
        run(CONTROLLER, ["serve"], { ...(await rest()), SPICEGATE_TELEMETRY__LISTEN: address }),
        run(AGENT, [], { SPICEGATE_TELEMETRY__LISTEN: address, SPICEGATE_LIBVIRT__URI: "test:///default" }),
      ]);
      for (const { code, stdout } of ends) {
        expect(code, stdout).to.equal(1);
        expect(stdout).to.include(`cannot listen on ${address}: `).and.include("EADDRINUSE");
      }
    } finally {
      server.close();
    }
  });
});

describe("a controller that starts too early", function () {
  this.timeout(60_000);

  it("is not ready while Postgres is away, and ready by itself when it comes", async () => {
    const postgres = new EmbeddedPostgres();
    await postgres.start();
    await migrate({ url: postgres.url }, silentLog);
    postgres.kill("SIGKILL");
    await postgres.program.ended;
    const deployment = await Deployment.create({ databaseUrl: postgres.url });
    const ready = deployment.controller.start();
    const health = new HealthWatch(deployment.api, "spicegate.console.v1.ConsoleService");
    try {
      await health.says("NOT_SERVING");
      expect(await condition(deployment, "database")).to.deep.include({ ok: false });
      const answer = await deployment.getConsole(randomUUID());
      expect(answer).to.have.nested.property("failure.reason", "DATABASE_UNAVAILABLE");
      await postgres.start();
      await ready;
      await health.says("SERVING");
    } finally {
      health.close();
      await deployment.stop();
      await postgres.stop();
    }
  });

  it("asks for the migration of an empty database, and is ready by itself after it", async () => {
    const deployment = await Deployment.create({ databaseUrl: await createDatabase("empty") });
    const ready = deployment.controller.start();
    try {
      const asks = async (): Promise<boolean> =>
        (await condition(deployment, "database"))?.detail.includes('run "spicegate migrate"') === true;
      await waitUntil(asks, { ms: 15_000, what: "readiness to ask for the migration" });
      const result = await deployment.getConsole(randomUUID());
      expect(result).to.have.nested.property("failure.reason", "DATABASE_UNAVAILABLE");
      const migration = [CONTROLLER, "migrate", "--config", deployment.controllerConfig];
      expect(await outputOf(process.execPath, migration)).to.include("0001_instances_and_tokens");
      await ready;
    } finally {
      await deployment.stop();
    }
  });
});

describe("a controller that is told to stop", function () {
  this.timeout(60_000);
  const uuid = randomUUID();
  let deployment: Deployment;
  let agent: FakeAgent;

  beforeEach(async () => {
    deployment = await Deployment.start();
    agent = await FakeAgent.connect(deployment.agents, { host: "host-1", domains: [fakeDomain(uuid)] });
    await deployment.knows(uuid);
  });
  afterEach(async () => {
    agent.close();
    await deployment.stop();
  });

  it("answers the calls that run, is no longer healthy meanwhile, then tells its agents, and ends with 0", async () => {
    const health = new HealthWatch(deployment.api);
    try {
      await health.says("SERVING");
      const call = deployment.getConsole(uuid);
      const { request } = await agent.next("request");
      deployment.controller.kill("SIGTERM");
      await health.says("NOT_SERVING");
      expect(agent.received.map(({ $case }) => $case)).to.not.include("drain");
      agent.reply(request, FAKE_ENDPOINT);
      responseOf(await call);
      const { drain } = await agent.next("drain");
      expect(drain.cause).to.equal(DrainCause.DRAIN_CAUSE_STOPPING);
      expect(drain.reconnectAfterMaxMs).to.be.above(drain.reconnectAfterMinMs);
      expect(await deployment.controller.ended).to.equal("exit code 0");
      expect(await deployment.logged({ msg: "stopped" })).to.include({ level: "info" });
    } finally {
      health.close();
    }
  });

  it("does not wait for those who watch its health", async () => {
    const health = new HealthWatch(deployment.api);
    try {
      await health.says("SERVING");
      const startedAt = performance.now();
      deployment.controller.kill("SIGTERM");
      expect(await deployment.controller.ended).to.equal("exit code 0");
      // Waiting for a watch would take as long as a call may.
      expect(performance.now() - startedAt).to.be.below(5_000);
    } finally {
      health.close();
    }
  });

  it("leaves at once, with 1, when it is told twice", async () => {
    const call = deployment.getConsole(uuid);
    await agent.next("request");
    deployment.controller.kill("SIGTERM");
    await deployment.logged({ msg: "stopping" });
    deployment.controller.kill("SIGTERM");
    expect(await deployment.controller.ended).to.equal("exit code 1");
    expect(await call).to.have.nested.property("failure.reason", "UNAVAILABLE");
  });
});

describe("an agent that is told to stop", function () {
  this.timeout(60_000);

  it("finishes and says so: it ends with 0, and its controller knows at once", async () => {
    const deployment = await Deployment.start({ libvirtUri: "test:///default" });
    try {
      expect(await host(deployment, deployment.host)).to.include({ connected: true, hypervisorAvailable: true });
      deployment.agent?.kill("SIGTERM");
      expect(await deployment.agent?.ended).to.equal("exit code 0");
      const gone = async (): Promise<boolean> => !(await host(deployment, deployment.host)).connected;
      await waitUntil(gone, { ms: 5_000, what: "the controller to notice" });
    } finally {
      await deployment.stop();
    }
  });

  it("leaves at once, with 1, when it is told twice, though libvirt hangs", async () => {
    const libvirtd = await startLibvirtd();
    const controller = new FakeController();
    await controller.start();
    const deployment = await Deployment.create({
      libvirtUri: libvirtd.uri,
      agent: { agent: { host: "host-1", controllers: [controller.address] } },
    });
    const { agent } = deployment;
    try {
      await agent?.start();
      const stream = await controller.nextStream();
      libvirtd.kill("SIGSTOP");
      stream.request({ $case: "getSpiceEndpoint", getSpiceEndpoint: { instanceUuid: randomUUID() } });
      // This one needs no libvirt; its answer tells that the other one has come in.
      await stream.ask(undefined);
      agent?.kill("SIGTERM");
      const stopping = (): boolean => deployment.agentLog().some(({ msg }) => msg === "stopping");
      await waitUntil(stopping, { ms: 4_000, what: "the agent to stop" });
      agent?.kill("SIGTERM");
      expect(await agent?.ended).to.equal("exit code 1");
    } finally {
      libvirtd.kill("SIGCONT");
      await deployment.stop();
      controller.stop();
      await libvirtd.stop();
    }
  });
});
