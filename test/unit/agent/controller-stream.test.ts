// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { once } from "node:events";
import type { AddressInfo, Socket } from "node:net";
import { connect, createServer } from "node:net";
import type { StreamState } from "../../../agent/controller-stream.js";
import { ControllerStream } from "../../../agent/controller-stream.js";
import type { Peer, Reply } from "../../../proto/gen/spicegate/agent/v1/agent.js";
import { DrainCause, FailureReason } from "../../../proto/gen/spicegate/agent/v1/agent.js";
import { Backoff } from "../../../src/lib/backoff.js";
import {
  MAX_MESSAGE_BYTES,
  MAX_QUEUED_BYTES,
  MAX_RECONNECT_WAIT_MS,
  MAX_REQUESTS_PER_AGENT,
  MAX_REQUEST_MS,
  PAGE_TAKEN_MS,
  REPLACED_WAIT_MS,
  STREAM_END_MS,
  WELCOME_MS,
} from "../../../src/lib/limits.js";
import { aDomain, uuidOf } from "../../fakes/domains.js";
import { FakeClock } from "../../fakes/fake-clock.js";
import type { FakeStream } from "../../fakes/fake-controller.js";
import { FakeController } from "../../fakes/fake-controller.js";
import { FAKE_INFO } from "../../fakes/fake-hypervisor.js";
import { AgentParts } from "../../harness/agent-parts.js";
import { until, within } from "../../harness/within.js";

const ask = (number = 1) =>
  ({ $case: "getSpiceEndpoint", getSpiceEndpoint: { instanceUuid: uuidOf(number) } }) as const;

function reasonOf(result: Reply["result"]): FailureReason | undefined {
  return result?.$case === "failure" ? result.failure.reason : undefined;
}

interface Options {
  readonly clock?: FakeClock;
  readonly hypervisorClock?: FakeClock;
  readonly backoffMs?: number;
  readonly address?: string;
  readonly delayMs?: number;
}

describe("ControllerStream", () => {
  let controller: FakeController;
  let parts: AgentParts;
  let clock: FakeClock | undefined;
  let stream: ControllerStream;
  let states: StreamState[];
  let welcomes: string[];
  let lists: (readonly Peer[])[];
  let unreached: number;

  beforeEach(async () => {
    controller = new FakeController();
    await controller.start();
    states = [];
    welcomes = [];
    lists = [];
    unreached = 0;
    clock = undefined;
  });

  afterEach(async () => {
    controller.stop();
    await stream.stop();
    await parts.stop();
  });

  /** Starts a stream with waits of a few milliseconds; with a clock, time stands still but for the test. */
  function start(options: Options = {}): void {
    clock = options.clock;
    parts = new AgentParts(options.clock, options.hypervisorClock);
    parts.hypervisor.put(aDomain(1));
    const bounds = { firstMs: options.backoffMs ?? 2, mostMs: 10 };
    stream = new ControllerStream({
      address: options.address ?? controller.address,
      context: parts.context,
      onState: (state) => states.push(state),
      onWelcome: (id) => welcomes.push(id),
      onPeers: (peers) => lists.push(peers),
      onUnreached: () => (unreached += 1),
      delayMs: options.delayMs ?? 0,
      backoff: new Backoff(bounds, () => 0.5),
      random: () => 0.5,
    });
    stream.start();
  }

  async function connected(options: Options = {}): Promise<FakeStream> {
    start(options);
    const peer = await controller.nextStream();
    await peer.next("inventorySnapshot");
    return peer;
  }

  function inState(state: StreamState): Promise<void> {
    return until(`state ${state}, it is ${stream.state}`, () => stream.state === state);
  }

  /** The stream waits `ms` milliseconds, no less and no more, and then connects again. */
  async function reconnectsAfter(ms: number): Promise<void> {
    await inState("waiting");
    clock?.advance(ms - 1);
    await new Promise((resolve) => setImmediate(resolve));
    expect(stream.state).to.equal("waiting");
    clock?.advance(1);
    await inState("connecting");
  }

  describe("while all is well", () => {
    it("says hello, sends its inventory and answers", async () => {
      const peer = await connected();
      expect(peer.hello).to.deep.include({ host: "host-a", agentVersion: "1.2.3", generation: 0n });
      expect(peer.hello).to.deep.include({ minProtocolVersion: 1, maxProtocolVersion: 1 });
      expect(peer.hello.processId).to.match(/^[0-9a-f]{32}$/);
      expect(peer.hello.hypervisor).to.deep.include({ available: true, libvirtVersion: FAKE_INFO.libvirtVersion });
      expect(await peer.ask(ask())).to.deep.equal({
        $case: "spiceEndpoint",
        spiceEndpoint: { host: "127.0.0.1", listen: 1, port: 5_901, tlsPort: 0 },
      });
      expect(states).to.deep.equal(["connecting", "greeting", "open"]);
    });

    it("says nothing between hello and welcome", async () => {
      controller.greeting = "nothing";
      start();
      const peer = await controller.nextStream();
      parts.hypervisor.setStatus({ available: false, info: FAKE_INFO, detail: "gone" });
      parts.hypervisor.emit({ kind: "started", uuid: uuidOf(1), name: "n" });
      expect(peer.received).to.have.length(1);
      peer.send({ $case: "welcome", welcome: controller.welcome });
      // What changed meanwhile is the first thing it says.
      const { hypervisorStatus } = await peer.next("hypervisorStatus");
      expect(hypervisorStatus).to.include({ available: false, detail: "gone" });
      expect(peer.all("inventorySnapshot")).to.have.length(0);
    });

    it("does not repeat the hypervisor's status where nothing changed since hello", async () => {
      const peer = await connected();
      expect(peer.all("hypervisorStatus")).to.have.length(0);
    });

    it("sends events and status, and the inventory again when asked", async () => {
      const peer = await connected();
      parts.hypervisor.emit({ kind: "suspended", uuid: uuidOf(1), name: "n" });
      expect((await peer.next("domainEvent")).domainEvent.sequence).to.equal(2n);
      peer.send({ $case: "resendInventory", resendInventory: {} });
      expect((await peer.next("inventorySnapshot")).inventorySnapshot.sequence).to.equal(3n);
      parts.hypervisor.setStatus({ available: false, info: FAKE_INFO, detail: "gone" });
      parts.hypervisor.setStatus({ available: true, info: FAKE_INFO, detail: "" });
      expect((await peer.next("inventorySnapshot")).inventorySnapshot.sequence).to.equal(4n);
      expect(peer.received.slice(-3).map(({ $case }) => $case)).to.deep.equal([
        "hypervisorStatus",
        "hypervisorStatus",
        "inventorySnapshot",
      ]);
    });

    it("sends a big host in pages of at most 200, the last one marked", async () => {
      controller.greeting = "nothing";
      start();
      for (let number = 2; number <= 450; number += 1) parts.hypervisor.put(aDomain(number));
      const peer = await controller.nextStream();
      peer.send({ $case: "welcome", welcome: controller.welcome });
      await peer.first("inventorySnapshot", ({ inventorySnapshot }) => inventorySnapshot.lastPage);
      const pages = peer.all("inventorySnapshot").map(({ inventorySnapshot }) => inventorySnapshot);
      expect(pages.map(({ domains }) => domains.length)).to.deep.equal([200, 200, 50]);
      expect(pages.map(({ lastPage }) => lastPage)).to.deep.equal([false, false, true]);
      expect(new Set(pages.map(({ sequence }) => sequence))).to.deep.equal(new Set([1n]));
    });

    it("answers a request while others hang, and a cancel ends the work without an answer", async () => {
      const peer = await connected();
      parts.hypervisor.ignoreNext();
      const hanging = peer.request(ask());
      expect((await peer.ask(ask()))?.$case).to.equal("spiceEndpoint");
      expect(parts.hypervisor.open).to.equal(1);
      peer.send({ $case: "cancel", cancel: { id: hanging } });
      await until("the end of the work", () => parts.hypervisor.open === 0);
      await peer.ask(ask());
      expect(peer.all("reply").filter(({ reply }) => reply.id === hanging)).to.have.length(0);
    });

    it("answers LIMITED above 256 in flight and stays healthy", async () => {
      const peer = await connected();
      for (let count = 0; count < MAX_REQUESTS_PER_AGENT; count += 1) parts.hypervisor.ignoreNext();
      const ids = Array.from({ length: MAX_REQUESTS_PER_AGENT }, () => peer.request(ask()));
      expect(reasonOf(await peer.ask(ask()))).to.equal(FailureReason.FAILURE_REASON_LIMITED);
      expect(parts.hypervisor.open).to.equal(MAX_REQUESTS_PER_AGENT);
      for (const id of ids) peer.send({ $case: "cancel", cancel: { id } });
      await until("the end of the work", () => parts.hypervisor.open === 0);
      expect((await peer.ask(ask()))?.$case).to.equal("spiceEndpoint");
    });

    it("ignores and counts messages it does not know, and a second welcome", async () => {
      const peer = await connected();
      peer.sendBytes(Buffer.alloc(0));
      // Field 99, a message of a later version.
      peer.sendBytes(Buffer.from([0x9a, 0x06, 0x02, 0x08, 0x01]));
      peer.send({ $case: "welcome", welcome: controller.welcome });
      peer.send({ $case: "cancel", cancel: { id: 12_345n } });
      expect((await peer.ask(ask()))?.$case).to.equal("spiceEndpoint");
      expect(await parts.metric("messages_ignored_total")).to.equal(3);
      expect(reasonOf(await peer.ask(undefined))).to.equal(FailureReason.FAILURE_REASON_UNIMPLEMENTED);
    });
  });

  describe("when the stream ends", () => {
    it("connects again after the controller was gone, as the same process with its generation", async () => {
      const first = await connected();
      controller.stop();
      await until("a failed attempt", () => states.filter((state) => state === "connecting").length > 2);
      await controller.start();
      const second = await controller.nextStream();
      expect(second.hello).to.include({ processId: first.hello.processId, generation: 7n });
      expect((await second.next("inventorySnapshot")).inventorySnapshot.sequence).to.equal(2n);
    });

    it("stops the work of requests that nobody waits for any more", async () => {
      const peer = await connected({ clock: new FakeClock() });
      parts.hypervisor.ignoreNext();
      peer.request(ask());
      await until("the question", () => parts.hypervisor.open === 1);
      controller.stop();
      await until("the end of the work", () => parts.hypervisor.open === 0);
    });

    it("connects again when the controller ends the stream, with or without an error", async () => {
      (await connected()).end();
      (await controller.nextStream()).fail();
      await (await controller.nextStream()).next("inventorySnapshot");
    });

    it("gives up a controller that never says welcome", async () => {
      controller.greeting = "nothing";
      const time = new FakeClock();
      start({ clock: time });
      await controller.nextStream();
      await inState("greeting");
      time.advance(WELCOME_MS - 1);
      expect(stream.state).to.equal("greeting");
      time.advance(1);
      await inState("waiting");
    });

    it("keeps to one connection with a controller that is frozen", async () => {
      const accepted: Socket[] = [];
      const frozen = createServer((socket) => accepted.push(socket.on("error", () => undefined)));
      await once(frozen.listen(0, "127.0.0.1"), "listening");
      const { port } = frozen.address() as AddressInfo;
      const time = new FakeClock();
      start({ clock: time, address: `127.0.0.1:${port}` });
      await until("a connection", () => accepted.length === 1);
      for (let attempt = 0; attempt < 3; attempt += 1) {
        await inState("connecting");
        time.advance(WELCOME_MS);
        await inState("waiting");
        time.advance(10);
      }
      // Another connection of the agent would have been accepted before this one, which is the test's own.
      connect(port, "127.0.0.1").on("error", () => undefined);
      await until("the test's connection", () => accepted.length > 1);
      expect(accepted).to.have.length(2);
      frozen.close();
      for (const socket of accepted) socket.destroy();
    });

    it("respects the earliest time that a refusal names", async () => {
      controller.greeting = "refuse";
      controller.refusal = { reason: 4, message: "no database", retryAfterMs: 5_000 };
      start({ clock: new FakeClock() });
      await controller.nextStream();
      await reconnectsAfter(5_001);
    });

    it("uses its own growing wait where a refusal names no time", async () => {
      controller.greeting = "refuse";
      start({ clock: new FakeClock(), backoffMs: 4 });
      await controller.nextStream();
      await reconnectsAfter(2);
      await controller.nextStream();
      await reconnectsAfter(4);
    });

    it("waits only briefly again after it had been welcome", async () => {
      controller.greeting = "refuse";
      start({ clock: new FakeClock(), backoffMs: 4 });
      await controller.nextStream();
      await reconnectsAfter(2);
      await controller.nextStream();
      controller.greeting = "welcome";
      await reconnectsAfter(4);
      const peer = await controller.nextStream();
      await peer.next("inventorySnapshot");
      peer.end();
      await reconnectsAfter(2);
    });

    it("does not wait for weeks because of a wrong number", async () => {
      controller.greeting = "refuse";
      controller.refusal = { reason: 0, message: "", retryAfterMs: 4_294_967_295 };
      start({ clock: new FakeClock() });
      await controller.nextStream();
      await reconnectsAfter(MAX_RECONNECT_WAIT_MS + 1);
    });

    it("waits a minute after another agent took its place", async () => {
      const peer = await connected({ clock: new FakeClock() });
      peer.drain({ cause: DrainCause.DRAIN_CAUSE_REPLACED, reconnectAfterMinMs: 1, reconnectAfterMaxMs: 1 });
      await within("the end", peer.ended);
      await reconnectsAfter(REPLACED_WAIT_MS);
    });

    it("comes back within the window that a stopping controller names", async () => {
      const peer = await connected({ clock: new FakeClock() });
      peer.drain({ reconnectAfterMinMs: 100, reconnectAfterMaxMs: 300 });
      await within("the end", peer.ended);
      await reconnectsAfter(200);
    });

    it("uses its own wait where a stopping controller names no window", async () => {
      const peer = await connected({ clock: new FakeClock() });
      peer.drain();
      await within("the end", peer.ended);
      await reconnectsAfter(1);
    });

    it("finishes what is in flight before it leaves a stopping controller", async () => {
      const peer = await connected();
      parts.hypervisor.ignoreNext();
      const hanging = peer.request(ask(), 1_000);
      await until("the question", () => parts.hypervisor.open === 1);
      peer.drain({ reconnectAfterMinMs: 1, reconnectAfterMaxMs: 2 });
      await inState("draining");
      expect((await peer.ask(ask()))?.$case).to.equal("spiceEndpoint");
      expect(reasonOf(await peer.reply(hanging))).to.equal(FailureReason.FAILURE_REASON_HYPERVISOR_UNAVAILABLE);
      await within("the end", peer.ended);
      await controller.nextStream();
    });
  });

  describe("when the controller breaks the protocol", () => {
    it("ends a stream on which it speaks before welcome", async () => {
      controller.greeting = "speak early";
      start();
      const peer = await controller.nextStream();
      await within("the end", peer.ended);
      expect(peer.all("inventorySnapshot")).to.have.length(0);
    });

    it("ends a stream on which it chooses a version the agent does not speak", async () => {
      controller.welcome = { ...controller.welcome, protocolVersion: 2 };
      start();
      await within("the end", (await controller.nextStream()).ended);
    });

    it("ends a stream on which an id is used twice", async () => {
      const peer = await connected();
      parts.hypervisor.ignoreNext();
      const id = peer.request(ask());
      peer.request(ask(), 5_000, id);
      await within("the end", peer.ended);
      await controller.nextStream();
    });

    it("ends a stream with a message above the limit, or with nonsense, and comes back", async () => {
      (await connected()).sendBytes(Buffer.alloc(MAX_MESSAGE_BYTES + 1));
      (await controller.nextStream()).sendBytes(Buffer.alloc(1_000, 0xff));
      await (await controller.nextStream()).next("inventorySnapshot");
    });

    it("survives a flood of requests and answers every one", async () => {
      const peer = await connected();
      const before = peer.received.length;
      const count = 2_000;
      for (let index = 0; index < count; index += 1) peer.request(ask());
      await until("all replies", () => peer.received.length === before + count);
      expect(new Set(peer.all("reply").map(({ reply }) => reply.id)).size).to.equal(count);
      expect(stream.state).to.equal("open");
    });

    it("cuts a controller that never reads before 1 MiB waits for it", async () => {
      controller.greeting = "never read";
      start();
      await inState("open");
      controller.greeting = "welcome";
      // A kilobyte each; nearly six times the bound are offered.
      const name = "n".repeat(255);
      parts.hypervisor.put(aDomain(1, { name, owner: { name, projectId: name, userId: name } }));
      for (let count = 0; count < 6_000; count += 1) {
        parts.hypervisor.emit({ kind: "resumed", uuid: uuidOf(1), name });
      }
      await until("the cut", () => states.includes("waiting"));
      expect(await parts.metric("streams_cut_total")).to.equal(1);
      // What it wrote is what waits, and what the connection itself takes.
      const written = (await parts.metric("reports_total", { kind: "event" })) * 1_000;
      expect(written).to.be.within(0.8 * MAX_QUEUED_BYTES, 1.4 * MAX_QUEUED_BYTES);
      const next = await controller.nextStream().then(() => controller.nextStream());
      await next.next("inventorySnapshot");
    });

    it("cuts a controller that takes the first pages of a snapshot and then no more", async () => {
      controller.greeting = "never read";
      const time = new FakeClock();
      start({ clock: time });
      const name = "n".repeat(255);
      const owner = { name, projectId: name, userId: name };
      for (let number = 0; number < 10_000; number += 1) parts.hypervisor.put(aDomain(number, { name, owner }));
      await inState("open");
      // Each page taken gives the next one its own time, so time passes until one is not taken.
      await until("the cut", () => {
        time.advance(PAGE_TAKEN_MS / 1_000);
        return stream.state === "waiting";
      });
      expect(await parts.metric("streams_cut_total")).to.equal(1);
      expect(await parts.metric("reports_total", { kind: "page" })).to.be.within(1, 49);
    });
  });

  describe("beside other controllers", () => {
    it("tells which controller it has reached, and each list of others", async () => {
      const list = [{ controllerId: "b", address: "127.0.0.1:1" }];
      controller.welcome = { ...controller.welcome, peers: list };
      const peer = await connected();
      peer.send({ $case: "peers", peers: { peers: [] } });
      await until("the list", () => lists.length === 2);
      expect(welcomes).to.deep.equal([controller.welcome.controllerId]);
      expect(lists).to.deep.equal([list, []]);
      expect(await parts.metric("messages_ignored_total")).to.equal(0);
    });

    it("tells each attempt that hears nothing, but not the end of a stream", async () => {
      const peer = await connected();
      controller.greeting = "fail";
      peer.end();
      await until("the attempts", () => unreached > 1);
      const before = unreached;
      controller.greeting = "refuse";
      await controller.nextStream();
      await until("refusals", () => controller.streams.at(-1)?.received.length === 1);
      expect(unreached).to.be.within(before, before + 1);
    });

    it("makes its first attempt after a delay", async () => {
      const time = new FakeClock();
      start({ clock: time, delayMs: 100 });
      await reconnectsAfter(100);
      await (await controller.nextStream()).next("inventorySnapshot");
    });

    it("stands by: ends its stream and makes no other until it takes over, soon", async () => {
      const peer = await connected({ clock: new FakeClock() });
      stream.standBy();
      await peer.next("drain");
      await within("the end", peer.ended);
      await inState("standby");
      clock?.advance(MAX_RECONNECT_WAIT_MS);
      expect(stream.state).to.equal("standby");
      stream.takeOver();
      await reconnectsAfter(1);
      await (await controller.nextStream()).next("inventorySnapshot");
    });

    it("stops while it stands by", async () => {
      await connected();
      stream.standBy();
      await inState("standby");
      await within("the stop", stream.stop());
      expect(stream.state).to.equal("stopped");
      expect(controller.streams).to.have.length(1);
    });
  });

  describe("when the agent stops", () => {
    it("tells the controller, finishes what is in flight, refuses the rest and ends the stream", async () => {
      const peer = await connected();
      parts.hypervisor.ignoreNext();
      const hanging = peer.request(ask(), 1_000);
      await until("the question", () => parts.hypervisor.open === 1);
      const stopped = stream.stop();
      const { drain } = await peer.next("drain");
      expect(drain.cause).to.equal(DrainCause.DRAIN_CAUSE_STOPPING);
      expect(reasonOf(await peer.ask(ask()))).to.equal(FailureReason.FAILURE_REASON_DRAINING);
      expect(reasonOf(await peer.reply(hanging))).to.equal(FailureReason.FAILURE_REASON_HYPERVISOR_UNAVAILABLE);
      await within("the stop", stopped);
      expect(states.slice(-2)).to.deep.equal(["draining", "stopped"]);
    });

    it("does not wait for ever for work that does not end, nor for a controller that does not", async () => {
      const time = new FakeClock();
      const peer = await connected({ clock: time, hypervisorClock: new FakeClock() });
      parts.hypervisor.ignoreNext();
      peer.request(ask());
      await until("the question", () => parts.hypervisor.open === 1);
      peer.stopReading();
      const stopped = stream.stop();
      await inState("draining");
      time.advance(MAX_REQUEST_MS);
      time.advance(STREAM_END_MS);
      await within("the stop", stopped);
    });

    it("stops at once while it is connecting, greeting or waiting, and twice is harmless", async () => {
      controller.greeting = "nothing";
      start({ clock: new FakeClock() });
      await inState("greeting");
      await within("the stop", Promise.all([stream.stop(), stream.stop()]));
      expect(stream.state).to.equal("stopped");

      controller.greeting = "refuse";
      start({ clock: new FakeClock() });
      await inState("waiting");
      await within("the stop", stream.stop());
      expect(stream.state).to.equal("stopped");
    });
  });
});
