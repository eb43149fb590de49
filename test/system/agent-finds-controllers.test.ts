// SPDX-License-Identifier: Apache-2.0
// An agent whose configuration names one controller is connected to all there are.
import { expect } from "chai";
import { randomUUID } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import type { ChildProgram } from "../../demo/child-program.js";
import type { DemoMachine } from "../../demo/demo-machine.js";
import { defineAndStart } from "../../demo/demo-machine.js";
import { freePort } from "../../demo/ports.js";
import { waitUntil } from "../../demo/wait-until.js";
import { Deployment } from "../harness/deployment.js";
import { sharedLibvirtd } from "../harness/hypervisor.js";
import { get, host, reaches, register, remove, responseOf, update } from "../harness/inventory-calls.js";
import { discardMachines } from "../harness/machines.js";
import { createDatabase } from "../harness/test-database.js";

const HOST = "host-1";

describe("an agent that is told of one controller", function () {
  this.timeout(120_000);
  let databaseUrl: string;
  let controllers: Deployment[];
  let agent: ChildProgram;
  let agentTelemetry: string;
  let machine: DemoMachine;

  before(async () => {
    const libvirtd = await sharedLibvirtd();
    machine = await defineAndStart(libvirtd, { name: "found", displays: ["spice-none"] });
    databaseUrl = await createDatabase();
    controllers = [];
    const first = await startController();
    await startController();
    agentTelemetry = `127.0.0.1:${await freePort()}`;
    agent = first.addAgent(HOST, libvirtd.uri, agentTelemetry);
    await agent.start();
  });
  after(async () => {
    await Promise.all(controllers.map((controller) => controller.stop()));
    await discardMachines(await sharedLibvirtd(), [machine]);
  });

  async function startController(): Promise<Deployment> {
    const deployment = await Deployment.create({ databaseUrl });
    controllers.push(deployment);
    await deployment.controller.start();
    return deployment;
  }

  const at = (number: number): Deployment => controllers[number]!;
  const issues = async (deployment: Deployment): Promise<boolean> => (await deployment.getConsole(machine.uuid)).ok;
  const serves = (deployment: Deployment): Promise<void> =>
    waitUntil(() => issues(deployment), { ms: 15_000, what: "a controller to issue consoles" });
  const streams = async (state: string): Promise<number> => {
    const metrics = await (await fetch(`http://${agentTelemetry}/metrics`)).text();
    const sample = `spicegate_agent_streams{state="${state}"} `;
    return Number(
      metrics
        .split("\n")
        .find((line) => line.startsWith(sample))
        ?.slice(sample.length) ?? 0,
    );
  };

  it("serves two", async () => {
    await Promise.all([serves(at(0)), serves(at(1))]);
    expect(await host(at(1), HOST)).to.include({ connected: true, connectedControllers: 2 });
  });

  it("serves a third that starts later", async () => {
    const third = await startController();
    await serves(third);
    expect(await host(at(0), HOST)).to.include({ connectedControllers: 3 });
    const viewer = await third.openConsole(machine.uuid);
    expect(viewer.sessionId).not.to.equal("");
    expect(await streams("open")).to.equal(3);
  });

  it("is no reason for one controller not to know what another one was told", async () => {
    const instanceUuid = randomUUID();
    await register(at(0), { instanceUuid, name: "registered" });
    expect(responseOf(await get(at(2), instanceUuid)).instance?.name).to.equal("registered");
    responseOf(await update(at(1), { instanceUuid, name: "renamed" }, ["name"]));
    const renamed = async (): Promise<boolean> =>
      responseOf(await get(at(2), instanceUuid)).instance?.name === "renamed";
    await waitUntil(renamed, { ms: 2_000, what: "the new name" });
    responseOf(await remove(at(0), instanceUuid));
    await reaches(at(2), instanceUuid, "not found");
  });

  it("serves the others while one is dead, which those no longer name when its time is over", async () => {
    const dead = at(1);
    dead.controller.kill("SIGKILL");
    await dead.controller.ended;
    expect([await issues(at(0)), await issues(at(2))]).to.deep.equal([true, true]);
    await waitUntil(async () => (await streams("open")) === 2, { ms: 5_000, what: "the loss of a stream" });
    await dead.expireLease();
    const named = (): unknown =>
      at(0)
        .controllerLog()
        .findLast(({ msg }) => msg === "controllers that live")?.["controllers"];
    const alone = (): boolean => isDeepStrictEqual(new Set(named() as string[]), new Set([at(0).agents, at(2).agents]));
    await waitUntil(alone, { ms: 15_000, what: "the others to be named alone" });
    expect(await host(at(0), HOST)).to.include({ connectedControllers: 2 });
    expect(agent.running).to.equal(true);
  });

  it("serves the one that it was told of when that is back, as another run of it", async () => {
    at(0).controller.kill("SIGKILL");
    await at(0).controller.start();
    await serves(at(0));
    expect(await streams("open")).to.equal(2);
    expect(await streams("standby")).to.equal(0);
  });
});
