// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { isDeepStrictEqual } from "node:util";
import { Registry } from "prom-client";
import { createAgentMetrics } from "../../../agent/agent-metrics.js";
import type { AskOptions, DomainChangeKind, DomainDescription, HypervisorStatus } from "../../../agent/hypervisor.js";
import type { ReportSink, Snapshot } from "../../../agent/inventory.js";
import { Inventory } from "../../../agent/inventory.js";
import { domainFromDescription } from "../../../agent/messages.js";
import type { Domain, DomainEvent } from "../../../proto/gen/spicegate/agent/v1/agent.js";
import { DomainEventKind, DomainState } from "../../../proto/gen/spicegate/agent/v1/agent.js";
import { Backoff } from "../../../src/lib/backoff.js";
import { MAX_QUEUED_REPORTS, SNAPSHOT_BACKOFF } from "../../../src/lib/limits.js";
import { silentLog } from "../../../src/lib/log.js";
import { ServiceError } from "../../../src/lib/service-error.js";
import { aDomain, uuidOf } from "../../fakes/domains.js";
import { FakeClock } from "../../fakes/fake-clock.js";
import { FAKE_INFO, FakeHypervisor } from "../../fakes/fake-hypervisor.js";
import { until } from "../../harness/within.js";

/** Applies reports as a controller does, and writes down what it was told. */
class Receiver implements ReportSink {
  readonly story: string[] = [];
  readonly domains = new Map<string, Domain>();
  #applied = 0n;

  status({ available }: HypervisorStatus): void {
    this.story.push(available ? "up" : "down");
  }

  snapshot({ sequence, domains }: Snapshot): void {
    this.story.push(`snapshot ${sequence}`);
    this.#advance(sequence);
    this.domains.clear();
    for (const domain of domains) this.domains.set(domain.uuid, domainFromDescription(domain));
  }

  event({ sequence, kind, domain }: DomainEvent): void {
    this.story.push(`event ${sequence}`);
    this.#advance(sequence);
    if (!domain) throw new Error("an event without a domain");
    if (kind === DomainEventKind.DOMAIN_EVENT_KIND_UNDEFINED) this.domains.delete(domain.instanceUuid);
    else this.domains.set(domain.instanceUuid, domain);
  }

  #advance(sequence: bigint): void {
    expect(sequence > this.#applied, `report ${sequence} after ${this.#applied}`).to.equal(true);
    this.#applied = sequence;
  }
}

/** A hypervisor whose answers, once read, are held back until a test lets them through. */
class GatedHypervisor extends FakeHypervisor {
  gate: Promise<void> | undefined;

  override async describe(uuid: string, options: AskOptions): Promise<DomainDescription> {
    const answer = super.describe(uuid, options);
    await Promise.allSettled([answer]);
    await this.gate;
    return answer;
  }

  override async describeAll(options: AskOptions): Promise<readonly DomainDescription[]> {
    const answer = super.describeAll(options);
    await Promise.allSettled([answer]);
    await this.gate;
    return answer;
  }

  /** Closes the gate; the result opens it. */
  close(): () => void {
    let open = (): void => undefined;
    this.gate = new Promise((resolve) => (open = resolve));
    return open;
  }
}

const DOWN: HypervisorStatus = { available: false, info: FAKE_INFO, detail: "away" };
const UP: HypervisorStatus = { available: true, info: FAKE_INFO, detail: "" };

describe("Inventory", () => {
  let clock: FakeClock;
  let hypervisor: GatedHypervisor;
  let registry: Registry;
  let inventory: Inventory;
  let receiver: Receiver;

  beforeEach(() => {
    clock = new FakeClock();
    hypervisor = new GatedHypervisor(clock);
    registry = new Registry();
    const backoff = new Backoff(SNAPSHOT_BACKOFF, () => 1);
    const metrics = createAgentMetrics(registry);
    inventory = new Inventory({ hypervisor, clock, log: silentLog, metrics, backoff });
    receiver = new Receiver();
    inventory.start();
  });

  afterEach(() => inventory.stop());

  function emit(kind: DomainChangeKind, number = 1): void {
    hypervisor.emit({ kind, uuid: uuidOf(number), name: `instance-${number}` });
  }

  function told(count: number, by = receiver): Promise<void> {
    return until(`${count} reports`, () => by.story.length >= count);
  }

  function stateOf(number: number): DomainState | undefined {
    return receiver.domains.get(uuidOf(number))?.state;
  }

  async function joined(): Promise<void> {
    inventory.join(receiver);
    await told(1);
  }

  async function dropped(): Promise<number> {
    const metric = await registry.getSingleMetric("spicegate_agent_events_dropped_total")?.get();
    return metric?.values[0]?.value ?? 0;
  }

  it("gives every receiver a snapshot first, then events numbered in order", async () => {
    hypervisor.put(aDomain(1));
    await joined();
    emit("suspended");
    emit("resumed");
    await told(3);
    expect(receiver.story).to.deep.equal(["snapshot 1", "event 2", "event 3"]);
  });

  it("gives the same report the same number everywhere", async () => {
    const other = new Receiver();
    hypervisor.put(aDomain(1));
    await joined();
    inventory.join(other);
    await told(1, other);
    emit("suspended");
    emit("resumed");
    await told(3);
    expect(receiver.story).to.deep.equal(["snapshot 1", "event 3", "event 4"]);
    expect(other.story).to.deep.equal(["snapshot 2", "event 3", "event 4"]);
  });

  it("reads one snapshot for all who wait for one", async () => {
    const other = new Receiver();
    hypervisor.setStatus(DOWN);
    inventory.join(receiver);
    inventory.join(other);
    hypervisor.setStatus(UP);
    await told(2);
    await told(2, other);
    expect(receiver.story).to.deep.equal(["up", "snapshot 1"]);
    expect(other.story).to.deep.equal(["up", "snapshot 1"]);
  });

  it("says how a domain looks after the event", async () => {
    hypervisor.put(aDomain(1));
    await joined();
    hypervisor.put(aDomain(1, { state: "shut-off" }));
    emit("stopped");
    await told(2);
    expect(stateOf(1)).to.equal(DomainState.DOMAIN_STATE_SHUT_OFF);
  });

  it("reports a domain that is gone by the time it looks as undefined", async () => {
    hypervisor.put(aDomain(1));
    await joined();
    hypervisor.remove(uuidOf(1));
    emit("stopped");
    await told(2);
    expect(receiver.domains.size).to.equal(0);
  });

  it("applies an event on top of the snapshot that was being read when it happened", async () => {
    hypervisor.put(aDomain(1));
    const open = hypervisor.close();
    inventory.join(receiver);
    await until("the snapshot is read", () => hypervisor.asked === 1 && hypervisor.open === 0);
    hypervisor.put(aDomain(1, { state: "shut-off" }));
    emit("stopped");
    open();
    await told(2);
    expect(receiver.story).to.deep.equal(["snapshot 1", "event 2"]);
    expect(stateOf(1)).to.equal(DomainState.DOMAIN_STATE_SHUT_OFF);
  });

  it("sends no event before the first snapshot, not even one that is being looked up", async () => {
    const late = new Receiver();
    hypervisor.put(aDomain(1));
    await joined();
    const open = hypervisor.close();
    emit("suspended");
    inventory.join(late);
    open();
    await told(1, late);
    expect(late.story).to.deep.equal(["snapshot 3"]);
    expect(receiver.story).to.deep.equal(["snapshot 1", "event 2"]);
  });

  it("sends a new snapshot when asked, to that receiver only", async () => {
    const other = new Receiver();
    await joined();
    inventory.join(other);
    await told(1, other);
    inventory.resend(receiver);
    await told(2);
    expect(receiver.story).to.deep.equal(["snapshot 1", "snapshot 3"]);
    expect(other.story).to.deep.equal(["snapshot 2"]);
  });

  it("sends no snapshot while the hypervisor is away; its return comes first, then a new snapshot", async () => {
    await joined();
    hypervisor.setStatus(DOWN);
    inventory.resend(receiver);
    emit("started");
    expect(hypervisor.asked).to.equal(1);
    hypervisor.setStatus(UP);
    await told(4);
    expect(receiver.story).to.deep.equal(["snapshot 1", "down", "up", "snapshot 2"]);
  });

  it("does not send what it read of a hypervisor that has gone meanwhile", async () => {
    const open = hypervisor.close();
    inventory.join(receiver);
    await until("the snapshot is read", () => hypervisor.asked === 1 && hypervisor.open === 0);
    hypervisor.setStatus(DOWN);
    open();
    await new Promise((resolve) => setImmediate(resolve));
    expect(receiver.story).to.deep.equal(["down"]);
    hypervisor.setStatus(UP);
    await told(3);
    expect(receiver.story.at(-1)).to.match(/^snapshot/);
  });

  it("tries again when a snapshot cannot be read, after growing waits, short again after a success", async () => {
    const failsThenSucceeds = async (failures: number): Promise<void> => {
      const reports = receiver.story.length;
      for (let count = 0; count < failures; count += 1) hypervisor.failNext(new ServiceError("LIMITED", "busy"));
      inventory.resend(receiver);
      for (let count = 0; count < failures; count += 1) {
        await until("the pause", () => hypervisor.open === 0 && clock.waiting === 1);
        clock.advance(SNAPSHOT_BACKOFF.firstMs * 2 ** count - 1);
        expect(clock.waiting, "still pausing").to.equal(1);
        clock.advance(1);
      }
      await told(reports + 1);
    };
    await joined();
    await failsThenSucceeds(2);
    await failsThenSucceeds(1);
    expect(receiver.story).to.deep.equal(["snapshot 1", "snapshot 4", "snapshot 6"]);
  });

  it("takes a new snapshot when a changed domain cannot be read", async () => {
    hypervisor.put(aDomain(1));
    await joined();
    hypervisor.put(aDomain(1, { state: "shut-off" }));
    hypervisor.failNext(new ServiceError("HYPERVISOR_UNAVAILABLE", "silent"));
    emit("stopped");
    await told(2);
    expect(receiver.story).to.deep.equal(["snapshot 1", "snapshot 2"]);
    expect(stateOf(1)).to.equal(DomainState.DOMAIN_STATE_SHUT_OFF);
    expect(await dropped()).to.equal(1);
  });

  it("gives up on events and takes a new snapshot when too many wait", async () => {
    await joined();
    const open = hypervisor.close();
    // One is being looked up, the others wait, and one does not fit.
    for (let count = 0; count < MAX_QUEUED_REPORTS + 2; count += 1) emit("started", count);
    open();
    await told(2);
    expect(receiver.story.at(-1)).to.match(/^snapshot/);
    expect(await dropped()).to.equal(MAX_QUEUED_REPORTS + 1);
  });

  it("tells a receiver nothing more after it has left", async () => {
    const leave = inventory.join(receiver);
    await told(1);
    leave();
    inventory.resend(receiver);
    hypervisor.setStatus(DOWN);
    hypervisor.setStatus(UP);
    emit("started");
    await new Promise((resolve) => setImmediate(resolve));
    expect(receiver.story).to.deep.equal(["snapshot 1"]);
    expect(hypervisor.asked, "questions").to.equal(1);
  });

  it("looks nothing up while nobody listens", () => {
    emit("started");
    expect(hypervisor.asked).to.equal(0);
  });

  it("ends its work when it stops", async () => {
    hypervisor.ignoreNext();
    inventory.join(receiver);
    await until("the question", () => hypervisor.open === 1);
    inventory.stop();
    inventory.stop();
    await until("the end of the question", () => hypervisor.open === 0);
    expect(clock.waiting).to.equal(0);
  });

  it("leaves every receiver with the truth, whatever happens in whatever order", async () => {
    const states = ["running", "paused", "shut-off", "crashed"] as const;
    const truth = new Map<string, Domain>();
    const other = new Receiver();
    inventory.join(receiver);
    inventory.join(other);
    let seed = 42;
    const random = (below: number): number => (seed = (seed * 48_271) % 2_147_483_647) % below;
    const put = (domain: DomainDescription): void => {
      hypervisor.put(domain);
      truth.set(domain.uuid, domainFromDescription(domain));
    };
    const remove = (uuid: string): void => {
      hypervisor.remove(uuid);
      truth.delete(uuid);
    };
    for (let step = 0; step < 3_000; step += 1) {
      const number = random(5);
      const roll = random(20);
      if (roll === 0) inventory.resend(receiver);
      if (roll === 1) hypervisor.failNext(new ServiceError("HYPERVISOR_UNAVAILABLE", "silent"));
      if (roll < 6) remove(uuidOf(number));
      else put(aDomain(number, { state: states[random(states.length)] ?? "running" }));
      emit(roll < 6 ? "undefined" : "started", number);
      if (random(3) === 0) await new Promise((resolve) => setImmediate(resolve));
      if (random(20) === 0) clock.advance(SNAPSHOT_BACKOFF.mostMs);
    }
    await until("both know the truth", () => {
      clock.advance(1_000);
      return isDeepStrictEqual(receiver.domains, truth) && isDeepStrictEqual(other.domains, truth);
    });
    expect(receiver.story.length).to.be.greaterThan(1_000);
  });
});
