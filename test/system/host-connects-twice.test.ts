// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { randomBytes } from "node:crypto";
import type { ChildProgram } from "../../demo/child-program.js";
import type { DemoMachine } from "../../demo/demo-machine.js";
import { defineAndStart } from "../../demo/demo-machine.js";
import { freePort } from "../../demo/ports.js";
import { waitUntil } from "../../demo/wait-until.js";
import { DrainCause } from "../../proto/gen/spicegate/agent/v1/agent.js";
import { RawAgent } from "../fakes/raw-agent.js";
import { Deployment } from "../harness/deployment.js";
import { sharedLibvirtd } from "../harness/hypervisor.js";
import { Load } from "../harness/load.js";

const REPLACEMENTS = "spicegate_agent_replacements_total";
const ALARM = "agents displace each other: do two hosts share this name?";

describe("a host connects twice", function () {
  this.timeout(60_000);
  let deployment: Deployment;
  let machine: DemoMachine;
  let second: ChildProgram;
  let secondTelemetry: string;
  const raw: RawAgent[] = [];
  const join = async (host: string, processId?: string): Promise<RawAgent> => {
    const agent = await RawAgent.join(deployment.agents, processId === undefined ? { host } : { host, processId });
    raw.push(agent);
    return agent;
  };

  before(async () => {
    const libvirtd = await sharedLibvirtd();
    machine = await defineAndStart(libvirtd, { name: "twice", displays: ["spice-tcp"] });
    deployment = await Deployment.start({ libvirtUri: libvirtd.uri });
    await deployment.knows(machine.uuid);
    secondTelemetry = `127.0.0.1:${await freePort()}`;
    second = deployment.addAgent(deployment.host, libvirtd.uri, secondTelemetry);
  });
  after(async () => {
    for (const agent of raw) agent.close();
    await deployment.stop();
  });

  it("goes on giving out consoles when a second agent takes over from the first", async () => {
    const load = Load.start(deployment, machine.uuid, { callers: 4 });
    try {
      await load.recovers();
      await second.start();
      await load.recovers();
      expect(await openStreams(secondTelemetry)).to.equal(1);
    } finally {
      await load.stop();
    }
    await load.endsWithOnly();
  });

  it("tells the first one why, and lets it wait", async () => {
    const told = "another agent connected for this host: is agent.host the same on two machines?";
    await waitUntil(() => deployment.logs().includes(told), { ms: 5_000, what: "the first agent to be told" });
    expect(await openStreams(secondTelemetry)).to.equal(1);
    expect(deployment.agent!.running).to.equal(true);
    expect(await deployment.metric(REPLACEMENTS)).to.equal(1);
  });

  it("leaves the new one alone when the old stream ends late", async () => {
    deployment.agent!.kill("SIGKILL");
    await deployment.agent!.ended;
    const load = Load.start(deployment, machine.uuid, { callers: 2 });
    await load.recovers();
    await load.endsWithOnly();
  });

  it("sends the replaced agent a Drain that says so, with the time to wait, and ends its stream", async () => {
    const older = await join("drained");
    await join("drained");
    const { drain } = await older.next("drain");
    expect(drain).to.deep.equal({
      cause: DrainCause.DRAIN_CAUSE_REPLACED,
      reconnectAfterMinMs: 60_000,
      reconnectAfterMaxMs: 60_000,
    });
    expect(await older.end()).to.include({ code: "OK" });
  });

  it("is no replacement when the same process connects anew", async () => {
    const before = await deployment.metric(REPLACEMENTS);
    const processId = randomBytes(16).toString("hex");
    const older = await join("reconnects", processId);
    const newer = await join("reconnects", processId);
    const [first] = older.received;
    expect(newer.received[0]).to.deep.equal(first, "the same generation");
    const { drain } = await older.next("drain");
    expect(drain.cause).to.equal(DrainCause.DRAIN_CAUSE_STOPPING);
    expect(await deployment.metric(REPLACEMENTS)).to.equal(before);
  });

  it("warns when agents displace each other more than three times in five minutes", async () => {
    const before = await deployment.metric(REPLACEMENTS);
    const warnings = (): unknown[] =>
      deployment
        .controllerLog()
        .filter(({ msg, level, host }) => msg === ALARM && level === "warn" && host === "flaps");
    for (let agents = 1; agents <= 4; agents += 1) await join("flaps");
    expect(warnings()).to.have.length(0);
    await join("flaps");
    expect(warnings()).to.have.length(1);
    expect(await deployment.metric(REPLACEMENTS)).to.equal(before + 4);
  });
});

async function openStreams(telemetry: string): Promise<number> {
  const text = await (await fetch(`http://${telemetry}/metrics`)).text();
  return Number(/^spicegate_agent_streams\{state="open"\} (\d+)$/m.exec(text)?.[1]);
}
