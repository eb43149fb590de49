// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { ControllerStreams } from "../../../agent/controller-streams.js";
import type { StreamState } from "../../../agent/controller-stream.js";
import { waitUntil } from "../../../demo/wait-until.js";
import { systemClock } from "../../../src/lib/clock.js";
import { FORGET_PEER_MS, MAX_MESSAGE_BYTES, MAX_PEERS, PEER_DIAL_WINDOW_MS } from "../../../src/lib/limits.js";
import { Readiness } from "../../../src/telemetry/readiness.js";
import { aDomain, uuidOf } from "../../fakes/domains.js";
import { FakeClock } from "../../fakes/fake-clock.js";
import type { FakeStream } from "../../fakes/fake-controller.js";
import { FakeController } from "../../fakes/fake-controller.js";
import { AgentParts } from "../../harness/agent-parts.js";
import { until, within } from "../../harness/within.js";

describe("ControllerStreams", () => {
  let one: FakeController;
  let other: FakeController;
  let parts: AgentParts;
  let readiness: Readiness;
  let streams: ControllerStreams;

  beforeEach(async () => {
    one = new FakeController();
    other = new FakeController();
    await Promise.all([one.start(), other.start()]);
    parts = new AgentParts();
    parts.hypervisor.put(aDomain(1));
    readiness = new Readiness(["controller"]);
    streams = new ControllerStreams({ addresses: [one.address, other.address], context: parts.context, readiness });
    streams.start();
  });

  afterEach(async () => {
    one.stop();
    other.stop();
    await streams.stop();
    await parts.stop();
  });

  it("tells every controller the same reports with the same numbers", async () => {
    const [a, b] = [await one.nextStream(), await other.nextStream()];
    await Promise.all([a.next("inventorySnapshot"), b.next("inventorySnapshot")]);
    for (const kind of ["suspended", "resumed", "stopped"] as const) {
      parts.hypervisor.emit({ kind, uuid: uuidOf(1), name: "n" });
    }
    await until("the events", () => a.all("domainEvent").length === 3 && b.all("domainEvent").length === 3);
    expect(a.all("domainEvent")).to.deep.equal(b.all("domainEvent"));
    expect(a.hello.processId).to.equal(b.hello.processId);
  });

  it("are ready while at least one is open, and count themselves by state", async () => {
    other.greeting = "nothing";
    await one.nextStream();
    await until("one open stream", () => readiness.isReady());
    one.greeting = "nothing";
    one.streams[0]?.end();
    await until("none", () => !readiness.isReady());
    expect(readiness.conditions()["controller"]).to.deep.equal({ ok: false, detail: "no controller is connected" });
    expect(await parts.metric("streams")).to.equal(2);
    expect(await parts.metric("streams", { state: "open" })).to.equal(0);
  });

  it("do not disturb each other when one controller sends nonsense", async () => {
    const [a, b] = [await one.nextStream(), await other.nextStream()];
    a.sendBytes(Buffer.alloc(MAX_MESSAGE_BYTES + 1));
    await within("the end", a.ended);
    const getSpiceEndpoint = { instanceUuid: uuidOf(1) };
    expect((await b.ask({ $case: "getSpiceEndpoint", getSpiceEndpoint }))?.$case).to.equal("spiceEndpoint");
    expect(other.streams).to.have.length(1);
  });

  it("leave all controllers at once when they stop", async () => {
    const [a, b] = [await one.nextStream(), await other.nextStream()];
    await Promise.all([a.next("inventorySnapshot"), b.next("inventorySnapshot")]);
    await within("the stop", streams.stop());
    await Promise.all([a.next("drain"), b.next("drain")]);
    expect(readiness.isReady()).to.equal(false);
    expect(await parts.metric("streams", { state: "stopped" })).to.equal(2);
  });
});

describe("ControllerStreams that are told of controllers", () => {
  let one: FakeController;
  let other: FakeController;
  let parts: AgentParts;
  let clock: FakeClock;
  let streams: ControllerStreams;

  beforeEach(async () => {
    one = new FakeController();
    other = new FakeController();
    await Promise.all([one.start(), other.start()]);
    clock = new FakeClock();
    parts = new AgentParts(clock, systemClock);
  });

  afterEach(async () => {
    one.stop();
    other.stop();
    await streams.stop();
    await parts.stop();
  });

  function start(addresses: readonly string[] = [one.address]): void {
    const readiness = new Readiness(["controller"]);
    streams = new ControllerStreams({ addresses, context: parts.context, readiness, random: () => 0.5 });
    streams.start();
  }

  const tell = (stream: FakeStream, ...controllers: readonly FakeController[]): void =>
    stream.send({ $case: "peers", peers: { peers: controllers.map(({ peer }) => peer) } });

  /** Waits until there are so many streams, in one state or in all. */
  const count = (most: number, state?: StreamState): Promise<void> => {
    const counted = async (): Promise<boolean> =>
      (await parts.metric("streams", state === undefined ? {} : { state })) === most;
    return waitUntil(counted, { ms: 5_000, what: `${most} streams, ${state ?? "all"}` });
  };

  /** Lets time pass, a little with each look, until there are so many streams. */
  async function countAfter(most: number, state?: StreamState): Promise<void> {
    const passing = setInterval(() => clock.advance(200), 1);
    await count(most, state).finally(() => clearInterval(passing));
  }

  /** Both connected, the other one by what the first tells. */
  async function connected(): Promise<readonly [FakeStream, FakeStream]> {
    one.welcome = { ...one.welcome, peers: [one.peer, other.peer] };
    start();
    const first = await one.nextStream();
    await count(2);
    clock.advance(PEER_DIAL_WINDOW_MS);
    const second = await other.nextStream();
    await count(2, "open");
    return [first, second];
  }

  it("connect to those that Welcome lists, at a moment within a window", async () => {
    one.welcome = { ...one.welcome, peers: [one.peer, other.peer] };
    start();
    await one.nextStream();
    await count(1, "waiting");
    clock.advance(PEER_DIAL_WINDOW_MS / 2 - 1);
    await new Promise((resolve) => setImmediate(resolve));
    await count(1, "waiting");
    clock.advance(1);
    await (await other.nextStream()).next("inventorySnapshot");
    expect(one.streams).to.have.length(1);
  });

  it("connect to one that comes later", async () => {
    start();
    tell(await one.nextStream(), one, other);
    await count(1, "waiting");
    clock.advance(PEER_DIAL_WINDOW_MS);
    await (await other.nextStream()).next("inventorySnapshot");
  });

  it("take no address that the configuration would not allow, and only so many", async () => {
    start();
    const peers = Array.from({ length: MAX_PEERS + 1 }, (_, n) => ({
      controllerId: `c${n}`,
      address: `127.0.0.2:${n + 1}`,
    }));
    const foreign = ["192.0.2.1:50052", "nonsense"].map((address) => ({ controllerId: "x", address }));
    const peer = await one.nextStream();
    peer.send({ $case: "peers", peers: { peers: [...foreign, ...peers] } });
    peer.send({ $case: "peers", peers: { peers: peers.reverse() } });
    await count(MAX_PEERS, "waiting");
    await count(MAX_PEERS + 1);
  });

  it("drop one that no list has named for 30 s once it cannot be reached", async () => {
    const [first] = await connected();
    tell(first, one);
    other.stop();
    await count(1, "waiting");
    clock.advance(FORGET_PEER_MS - 1);
    await count(2);
    await countAfter(1);
    await count(1, "open");
  });

  it("keep one that is not named but lives, and one that is named but cannot be reached", async () => {
    const [first, second] = await connected();
    tell(first, one);
    tell(second, one);
    clock.advance(10 * FORGET_PEER_MS);
    tell(first, one, other);
    other.stop();
    await count(1, "waiting");
    const passing = setInterval(() => clock.advance(FORGET_PEER_MS), 1);
    const before = await parts.metric("reconnects_total");
    const tried = async (): Promise<boolean> => (await parts.metric("reconnects_total")) > before + 3;
    await waitUntil(tried, { ms: 5_000, what: "attempts" }).finally(() => clearInterval(passing));
    await count(2);
  });

  it("drop nothing while nobody tells them anything", async () => {
    await connected();
    one.stop();
    other.stop();
    await count(0, "open");
    const passing = setInterval(() => clock.advance(FORGET_PEER_MS), 1);
    const tried = async (): Promise<boolean> => (await parts.metric("reconnects_total")) > 5;
    await waitUntil(tried, { ms: 5_000, what: "attempts" }).finally(() => clearInterval(passing));
    await count(2);
  });

  it("no longer count what a stream said that is lost", async () => {
    start([one.address, other.address]);
    const [first, second] = [await one.nextStream(), await other.nextStream()];
    const dead = { controllerId: "dead", address: "127.0.0.1:1" };
    first.send({ $case: "peers", peers: { peers: [one.peer, other.peer, dead] } });
    tell(second, one, other);
    await count(3);
    one.stop();
    await countAfter(2);
  });

  it("never drop an address of the configuration", async () => {
    start([one.address, other.address]);
    const first = await one.nextStream();
    await other.nextStream();
    tell(first, one);
    other.stop();
    await count(1, "waiting");
    const passing = setInterval(() => clock.advance(FORGET_PEER_MS), 1);
    const tried = async (): Promise<boolean> => (await parts.metric("reconnects_total")) > 3;
    await waitUntil(tried, { ms: 5_000, what: "attempts" }).finally(() => clearInterval(passing));
    await count(2);
  });

  describe("where two addresses lead to the same controller", () => {
    /** The other one stands for the first one's second address. */
    beforeEach(() => {
      other.welcome = { ...other.welcome, controllerId: one.welcome.controllerId };
    });

    it("do not dial the one that is listed while the other one is open", async () => {
      start();
      tell(await one.nextStream(), other);
      await count(1, "waiting");
      await countAfter(1, "standby");
      expect(other.streams).to.have.length(0);
    });

    it("dial the other one when it is listed for another controller", async () => {
      start();
      const first = await one.nextStream();
      tell(first, other);
      await countAfter(1, "standby");
      other.welcome = { ...other.welcome, controllerId: "new" };
      tell(first, other);
      await countAfter(2, "open");
    });

    it("dial the other one where a second controller is listed with it, in whatever order", async () => {
      start();
      const first = await one.nextStream();
      const { address } = other;
      other.welcome = { ...other.welcome, controllerId: "new" };
      const ids = ["new", one.welcome.controllerId];
      first.send({ $case: "peers", peers: { peers: ids.map((controllerId) => ({ controllerId, address })) } });
      await countAfter(2, "open");
      expect([one.streams.length, other.streams.length]).to.deep.equal([1, 1]);
    });

    it("keep the newer stream, and dial the other address when that is lost", async () => {
      start([one.address, other.address]);
      await Promise.all([one.nextStream(), other.nextStream()]);
      await count(1, "standby");
      await count(1, "open");
      const [winner, loser] = one.streams[0]!.all("drain").length === 0 ? [one, other] : [other, one];
      winner.stop();
      await count(0, "standby");
      await countAfter(1, "open");
      expect(loser.streams).to.have.length(2);
    });
  });
});
