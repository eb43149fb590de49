// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { randomUUID } from "node:crypto";
import type { DemoMachine } from "../../demo/demo-machine.js";
import { defineAndStart } from "../../demo/demo-machine.js";
import { waitUntil } from "../../demo/wait-until.js";
import type { Domain, Hello } from "../../proto/gen/spicegate/agent/v1/agent.js";
import {
  ConnectRequest,
  DomainEventKind,
  ListenKind,
  RefusalReason,
} from "../../proto/gen/spicegate/agent/v1/agent.js";
import { AGENT_DB_CONNECTIONS } from "../../src/lib/limits.js";
import { domainOf, RawAgent } from "../fakes/raw-agent.js";
import { Deployment } from "../harness/deployment.js";
import { sharedLibvirtd } from "../harness/hypervisor.js";
import { Load } from "../harness/load.js";
import { residentMiB } from "../harness/process-facts.js";
import { countWaiting, whileLocked } from "../harness/test-database.js";

const MIB = 1024 * 1024;
const GROWTH_MIB = 200;

describe("an agent sends garbage", function () {
  this.timeout(60_000);
  let deployment: Deployment;
  let machine: DemoMachine;
  let load: Load;
  let memoryBefore: number;
  const raw: RawAgent[] = [];

  before(async () => {
    const libvirtd = await sharedLibvirtd();
    machine = await defineAndStart(libvirtd, { name: "honest", displays: ["spice-tcp"] });
    deployment = await Deployment.start({ libvirtUri: libvirtd.uri, controller: { log: { level: "warn" } } });
    await deployment.knows(machine.uuid);
    load = Load.start(deployment, machine.uuid, { callers: 2 });
    await load.recovers();
    memoryBefore = residentMiB(deployment.controller.pid);
  });
  afterEach("the honest host's consoles go on", async () => {
    for (const agent of raw.splice(0)) agent.close();
    await load.sees("OK", 10);
    expect(load.outcomes).to.deep.equal(["OK"]);
  });
  after(async () => {
    await load.stop();
    await deployment.stop();
  });

  it("is cut when its bytes are no message", async () => {
    const agent = await join();
    agent.sendBytes(Buffer.from([0xff, 0xff, 0xff, 0xff]));
    await cut(agent, "INVALID_ARGUMENT");
  });

  it("is cut when its first bytes are no message", async () => {
    const agent = open();
    agent.sendBytes(Buffer.from("GET / HTTP/1.1\r\n\r\n"));
    await cut(agent, "INVALID_ARGUMENT");
  });

  it("is cut when a message is over 1 MiB", async () => {
    const agent = await join();
    agent.send({ $case: "domainEvent", domainEvent: eventOf({ name: "n".repeat(MIB) }) });
    expect((await agent.end()).code).to.equal("RESOURCE_EXHAUSTED");
  });

  it("is cut when it says nothing for 5 s", async () => {
    await cut(open(), "INVALID_ARGUMENT");
  });

  it("is cut when its first message is not Hello", async () => {
    const agent = open();
    agent.send({ $case: "drain", drain: { cause: 1, reconnectAfterMinMs: 0, reconnectAfterMaxMs: 0 } });
    await cut(agent, "INVALID_ARGUMENT");
  });

  it("is cut for a message without content", async () => {
    const agent = await join();
    agent.sendBytes(Buffer.alloc(0));
    await cut(agent, "INVALID_ARGUMENT");
  });

  it("is cut for a second Hello", async () => {
    const agent = await join();
    agent.hello();
    await cut(agent, "INVALID_ARGUMENT");
  });

  it("is cut when it reports before Welcome", async () => {
    await whileLocked(deployment.databaseUrl, ["lock table hosts in exclusive mode"], async () => {
      const agent = open();
      agent.hello();
      agent.send({ $case: "domainEvent", domainEvent: eventOf({}) });
      await cut(agent, "INVALID_ARGUMENT");
    });
  });

  const refusals: readonly [string, Partial<Hello>, RefusalReason][] = [
    ["no host", { host: "" }, RefusalReason.REFUSAL_REASON_INVALID_HELLO],
    ["a host of 254 characters", { host: "h".repeat(254) }, RefusalReason.REFUSAL_REASON_INVALID_HELLO],
    ["a host of half a megabyte", { host: "h".repeat(MIB / 2) }, RefusalReason.REFUSAL_REASON_INVALID_HELLO],
    ["a host with a NUL", { host: "a\0b" }, RefusalReason.REFUSAL_REASON_INVALID_HELLO],
    ["a host with a bidi control", { host: "a\u202eb" }, RefusalReason.REFUSAL_REASON_INVALID_HELLO],
    ["no process_id", { processId: "" }, RefusalReason.REFUSAL_REASON_INVALID_HELLO],
    ["an upper-case process_id", { processId: "A".repeat(32) }, RefusalReason.REFUSAL_REASON_INVALID_HELLO],
    ["a huge version", { agentVersion: "9".repeat(MIB / 2) }, RefusalReason.REFUSAL_REASON_INVALID_HELLO],
    [
      "protocols 2 to 3 only",
      { minProtocolVersion: 2, maxProtocolVersion: 3 },
      RefusalReason.REFUSAL_REASON_PROTOCOL_UNSUPPORTED,
    ],
    [
      "protocol 0 only",
      { minProtocolVersion: 0, maxProtocolVersion: 0 },
      RefusalReason.REFUSAL_REASON_PROTOCOL_UNSUPPORTED,
    ],
  ];
  for (const [what, hello, reason] of refusals) {
    it(`is refused for a Hello with ${what}`, async () => {
      const agent = open();
      agent.hello(hello);
      const { refusal } = await agent.next("refusal");
      expect(refusal.reason).to.equal(reason);
      expect(refusal.message).to.be.a("string").that.is.not.empty;
      expect(await agent.end()).to.include({ code: "OK" });
    });
  }

  const malformed: readonly [string, readonly Domain[]][] = [
    ["201 domains in a page", domains(201)],
    ["a domain without a uuid", [domainOf("")]],
    ["an upper-case uuid", [domainOf(randomUUID().toUpperCase())]],
    ["a uuid of half a megabyte", [domainOf("a".repeat(MIB / 2))]],
    ["a uuid that is SQL", [domainOf("'; drop table instances; --")]],
    ["a name of 256 characters", [domainOf(randomUUID(), { name: "n".repeat(256) })]],
    ["a NUL in a name", [domainOf(randomUUID(), { name: "a\0b" })]],
    ["a control character in a project", [domainOf(randomUUID(), { owner: ownerOf({ projectId: "a\nb" }) })]],
    ["17 displays", [domainOf(randomUUID(), { displays: Array.from({ length: 17 }, () => 1) })]],
  ];
  for (const [what, page] of malformed) {
    it(`is cut for a snapshot with ${what}`, async () => {
      const agent = await join();
      agent.send({
        $case: "inventorySnapshot",
        inventorySnapshot: { sequence: 1n, domains: [...page], lastPage: true },
      });
      await cut(agent, "INVALID_ARGUMENT");
    });
  }

  it("is cut for a snapshot of more than 10,000 domains", async () => {
    const agent = await join();
    for (let page = 0; page < 51; page += 1) agent.sendBytes(pageOf(1n, domains(200)));
    await cut(agent, "INVALID_ARGUMENT");
  });

  it("is cut for a sequence number that no counter reaches", async () => {
    const agent = await join();
    agent.send({ $case: "domainEvent", domainEvent: eventOf({}, 2n ** 64n - 1n) });
    await cut(agent, "INVALID_ARGUMENT");
  });

  it("is cut for an event without a domain", async () => {
    const agent = await join();
    agent.send({ $case: "domainEvent", domainEvent: { ...eventOf({}), domain: undefined } });
    await cut(agent, "INVALID_ARGUMENT");
  });

  it("is heard all the same when it says what only a newer version knows", async () => {
    const ignored = (kind: string): Promise<number> =>
      deployment.metric(`spicegate_agent_messages_ignored_total{kind="${kind}"}`);
    const before = await Promise.all(["unknown_event", "unknown_message", "late_reply"].map(ignored));
    const agent = await join();
    const uuid = randomUUID();
    agent.send({ $case: "domainEvent", domainEvent: { ...eventOf({}), kind: 4_711 as DomainEventKind } });
    // Member 100 of the oneof, and field 200 of an event.
    agent.sendBytes(Buffer.from([0xa2, 0x06, 0x00]));
    agent.send({ $case: "reply", reply: { id: 4_711n, result: undefined } });
    const known = ConnectRequest.encode({ message: { $case: "domainEvent", domainEvent: eventOf({}, 2n, uuid) } });
    agent.sendBytes(Buffer.concat([known.finish(), Buffer.from([0xc2, 0x0c, 0x03, 1, 2, 3])]));
    await deployment.knows(uuid);
    const after = await Promise.all(["unknown_event", "unknown_message", "late_reply"].map(ignored));
    expect(after.map((count, index) => count - before[index]!)).to.deep.equal([1, 1, 1]);
  });

  it("fails only the call that it answers with something else", async () => {
    const agent = await join();
    const uuid = await shows(agent);
    const wrong = deployment.getConsole(uuid);
    const first = await agent.next("request");
    agent.send({
      $case: "reply",
      reply: { id: first.request.id, result: { $case: "displayOpened", displayOpened: {} } },
    });
    expect(await wrong).to.have.nested.property("failure.reason", "INTERNAL");
    const right = deployment.getConsole(uuid);
    const second = await agent.next("request", ({ request }) => request.id !== first.request.id);
    const spiceEndpoint = {
      host: "127.0.0.1",
      listen: ListenKind.LISTEN_KIND_ADDRESS,
      port: 5_900,
      tlsPort: 0,
      internalAccessPath: "",
    };
    agent.send({
      $case: "reply",
      reply: { id: second.request.id, result: { $case: "spiceEndpoint", spiceEndpoint } },
    });
    expect((await right).ok).to.equal(true);
  });

  it("is cut when it floods", async () => {
    const agent = await join();
    const bytes = Buffer.from(
      ConnectRequest.encode({ message: { $case: "domainEvent", domainEvent: eventOf({}) } }).finish(),
    );
    for (let sent = 0; sent < 100_000 && (await agent.sendAndWait(bytes)); sent += 1);
    await cut(agent, "LIMITED", "RESOURCE_EXHAUSTED");
  });

  it("is cut when it sends one whole inventory after the other", async () => {
    const agent = await RawAgent.join(deployment.agents, { host: "flooding" });
    raw.push(agent);
    for (let sequence = 1n, open = true; open; sequence += 1n) {
      for (let page = 1; page <= 50 && open; page += 1) {
        const named = domains(200).map((domain) => ({ ...domain, name: "n".repeat(255) }));
        open = await agent.sendAndWait(pageOf(sequence, named, page === 50));
      }
    }
    await cut(agent, "LIMITED", "RESOURCE_EXHAUSTED");
  });

  it("keeps the controller from nothing with a snapshot that never ends", async () => {
    const agent = await join();
    const empty = pageOf(1n, []);
    for (let sent = 0; sent < 20_000; sent += 1) expect(await agent.sendAndWait(empty)).to.equal(true);
    for (let sequence = 2n; sequence < 500n; sequence += 1n) {
      expect(await agent.sendAndWait(pageOf(sequence, domains(200)))).to.equal(true);
    }
    const uuid = await shows(agent, 500n);
    await deployment.knows(uuid);
  });

  it("is one of a thousand that come for a thousand hosts at once, and each is let in or told to come back", async () => {
    const agents = Array.from({ length: 1_000 }, () => open());
    agents.forEach((agent, index) => agent.hello({ host: `storm-${index}` }));
    const answers = await Promise.all(
      agents.map((agent) => Promise.race([agent.next("welcome"), agent.next("refusal")])),
    );
    const refused = answers.flatMap((answer) => (answer.$case === "refusal" ? [answer.refusal.reason] : []));
    expect(new Set([...refused, RefusalReason.REFUSAL_REASON_DATABASE_UNAVAILABLE])).to.have.property("size", 1);
    expect(refused.length).to.be.below(1_000);
  });

  it("leaves callers their way to the database while hundreds of agents wait for it", async () => {
    await whileLocked(deployment.databaseUrl, ["lock table hosts in exclusive mode"], async () => {
      for (let index = 0; index < 300; index += 1) open().hello({ host: `waiting-${index}` });
      const waiting = async (): Promise<boolean> =>
        (await countWaiting(deployment.databaseUrl)) === AGENT_DB_CONNECTIONS;
      await waitUntil(waiting, { ms: 10_000, what: "agents to wait for the database" });
      expect((await deployment.getConsole(machine.uuid)).ok).to.equal(true);
    });
  });

  it("costs only its own callers their time when it never reads", async () => {
    const agent = new RawAgent(deployment.agents, { reads: false });
    raw.push(agent);
    const uuid = randomUUID();
    agent.hello({ host: "deaf" });
    const connected = `spicegate_agents_connected`;
    const joined = async (): Promise<boolean> => (await deployment.metric(connected)) === 2;
    await waitUntil(joined, { ms: 10_000, what: "the deaf agent to be in" });
    agent.sendBytes(pageOf(1n, [domainOf(uuid)], true));
    await deployment.knows(uuid);
    const results = await Promise.all(Array.from({ length: 300 }, () => deployment.getConsole(uuid)));
    const reasons = results.map((result) => (result.ok ? "OK" : result.failure.reason));
    expect(new Set(reasons)).to.have.all.keys("AGENT_TIMEOUT", "LIMITED");
    expect(Math.max(...results.map(({ ms }) => ms))).to.be.below(7_000);
  });

  it("has not made the controller grow, after all of this", () => {
    expect(residentMiB(deployment.controller.pid) - memoryBefore).to.be.below(GROWTH_MIB);
  });

  function open(): RawAgent {
    const agent = new RawAgent(deployment.agents);
    raw.push(agent);
    return agent;
  }

  async function join(): Promise<RawAgent> {
    const agent = await RawAgent.join(deployment.agents);
    raw.push(agent);
    return agent;
  }

  /** Makes the agent's host have one instance, and returns its uuid. */
  async function shows(agent: RawAgent, sequence = 1n): Promise<string> {
    const uuid = randomUUID();
    agent.sendBytes(pageOf(sequence, [domainOf(uuid)], true));
    await deployment.knows(uuid);
    return uuid;
  }
});

async function cut(agent: RawAgent, reason: string, code = reason): Promise<void> {
  expect(await agent.end()).to.include({ code, reason });
}

function domains(count: number): Domain[] {
  return Array.from({ length: count }, () => domainOf(randomUUID()));
}

function ownerOf(fields: Partial<NonNullable<Domain["owner"]>>): NonNullable<Domain["owner"]> {
  return { name: "", projectId: "", userId: "", ...fields };
}

function eventOf(domain: Partial<Domain>, sequence = 1n, uuid: string = randomUUID()) {
  const kind = DomainEventKind.DOMAIN_EVENT_KIND_STARTED;
  return { sequence, kind, domain: domainOf(uuid, domain) };
}

function pageOf(sequence: bigint, page: readonly Domain[], lastPage = false): Buffer {
  const inventorySnapshot = { sequence, domains: [...page], lastPage };
  return Buffer.from(ConnectRequest.encode({ message: { $case: "inventorySnapshot", inventorySnapshot } }).finish());
}
