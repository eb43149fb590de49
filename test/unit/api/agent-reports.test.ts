// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { Registry } from "prom-client";
import type { DomainEvent, InventorySnapshot } from "../../../proto/gen/spicegate/agent/v1/agent.js";
import { DomainEventKind, DomainState } from "../../../proto/gen/spicegate/agent/v1/agent.js";
import { AgentReports } from "../../../src/api/agent-reports.js";
import type { ReportOutcome } from "../../../src/instances/host.js";
import { MAX_DOMAINS_PER_HOST, SNAPSHOT_PAGE_DOMAINS } from "../../../src/lib/limits.js";
import { silentLog } from "../../../src/lib/log.js";
import { reasonOf, ServiceError } from "../../../src/lib/service-error.js";
import { createControllerMetrics } from "../../../src/telemetry/controller-metrics.js";
import { FakeClock } from "../../fakes/fake-clock.js";

const STREAM = { host: "host-1", streamId: 1n, generation: 1n };
const CATCH_UP_AT_MOST_MS = 1_500;

function uuid(number: number): string {
  return `00000000-0000-4000-8000-${String(number).padStart(12, "0")}`;
}

function snapshot(sequence: bigint, uuids: readonly string[], lastPage = true): InventorySnapshot {
  const domain = { name: "", state: DomainState.DOMAIN_STATE_RUNNING, displays: [], owner: undefined };
  return { sequence, domains: uuids.map((instanceUuid) => ({ ...domain, instanceUuid })), lastPage };
}

function event(sequence: bigint, kind: DomainEventKind = DomainEventKind.DOMAIN_EVENT_KIND_STARTED): DomainEvent {
  return { sequence, kind, domain: snapshot(1n, [uuid(1)]).domains[0] };
}

describe("AgentReports", () => {
  let clock: FakeClock;
  /** What was applied, in its order. */
  let applied: string[];
  let failures: string[];
  let resends: number;
  let databaseUp: boolean;
  let outcome: () => Promise<ReportOutcome>;
  let registry: Registry;
  let reports: AgentReports;

  beforeEach(() => {
    clock = new FakeClock();
    [applied, failures, resends, databaseUp] = [[], [], 0, true];
    outcome = () => Promise.resolve("applied");
    registry = new Registry();
    reports = new AgentReports({
      stream: STREAM,
      instances: {
        applySnapshot: (_, { sequence, domains }) => {
          applied.push(`snapshot ${sequence} of ${domains.length}`);
          return outcome();
        },
        applyEvent: (_, { sequence, kind }) => {
          applied.push(`${kind} ${sequence}`);
          return outcome();
        },
        setHypervisor: (_, { available }) => Promise.resolve(void applied.push(available ? "up" : "down")),
      },
      resend: () => (resends += 1),
      databaseUp: () => databaseUp,
      clock,
      fail: (error) => failures.push(reasonOf(error)),
      log: silentLog,
      metrics: createControllerMetrics(registry),
    });
  });

  /** Waits until what was queued so far has been applied. */
  const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

  it("applies a snapshot once its last page is there", async () => {
    reports.snapshotPage(snapshot(1n, [uuid(1), uuid(2)], false));
    await settled();
    expect(applied).to.deep.equal([]);
    reports.snapshotPage(snapshot(1n, [uuid(3)]));
    await settled();
    expect(applied).to.deep.equal(["snapshot 1 of 3"]);
  });

  it("begins anew with a page of another sequence", async () => {
    reports.snapshotPage(snapshot(1n, [uuid(1), uuid(2)], false));
    reports.snapshotPage(snapshot(2n, [uuid(3)]));
    reports.snapshotPage(snapshot(2n, [uuid(4)]));
    await settled();
    expect(applied).to.deep.equal(["snapshot 2 of 1", "snapshot 2 of 1"]);
  });

  it("refuses a host with more domains than one may have", () => {
    const uuids = Array.from({ length: SNAPSHOT_PAGE_DOMAINS }, (_, number) => uuid(number));
    const pages = MAX_DOMAINS_PER_HOST / SNAPSHOT_PAGE_DOMAINS;
    for (let number = 0; number < pages; number += 1) reports.snapshotPage(snapshot(1n, uuids, false));
    expect(() => reports.snapshotPage(snapshot(1n, [uuid(1)], false))).to.throw(
      ServiceError,
      "domains must be at most",
    );
  });

  it("applies one report after the other, in the order they came", async () => {
    let finish: (outcome: ReportOutcome) => void = () => undefined;
    outcome = () => new Promise((resolve) => (finish = resolve));
    reports.event(event(1n));
    reports.hypervisor({ available: false } as Parameters<AgentReports["hypervisor"]>[0]);
    reports.event(event(2n, DomainEventKind.DOMAIN_EVENT_KIND_STOPPED));
    await settled();
    expect(applied).to.deep.equal(["started 1"]);
    finish("applied");
    await settled();
    expect(applied).to.deep.equal(["started 1", "down", "stopped 2"]);
  });

  it("counts an event of a kind that it does not know, and applies nothing", async () => {
    reports.event(event(1n, 99 as DomainEventKind));
    await settled();
    expect(applied).to.deep.equal([]);
    expect(await registry.metrics()).to.include('agent_messages_ignored_total{kind="unknown_event"} 1');
  });

  it("drops events after one that was lost, asks for a snapshot when the database is back, and goes on after it", async () => {
    outcome = () => Promise.reject(new ServiceError("DATABASE_UNAVAILABLE", "away"));
    databaseUp = false;
    reports.event(event(1n));
    await settled();
    outcome = () => Promise.resolve("applied");
    reports.event(event(2n));
    await settled();
    expect(applied).to.deep.equal(["started 1"]);
    clock.advance(CATCH_UP_AT_MOST_MS);
    expect(resends).to.equal(0);
    databaseUp = true;
    clock.advance(CATCH_UP_AT_MOST_MS);
    expect(resends).to.equal(1);
    reports.snapshotPage(snapshot(2n, [uuid(1)]));
    reports.event(event(3n));
    await settled();
    expect(applied).to.deep.equal(["started 1", "snapshot 2 of 1", "started 3"]);
    clock.advance(60_000);
    expect(resends).to.equal(1);
    expect(failures).to.deep.equal([]);
  });

  it("asks again where the snapshot itself was lost", async () => {
    outcome = () => Promise.reject(new Error("broken"));
    reports.snapshotPage(snapshot(1n, []));
    await settled();
    clock.advance(CATCH_UP_AT_MOST_MS);
    expect(resends).to.equal(1);
  });

  it("ends the stream where another process speaks for the host", async () => {
    outcome = () => Promise.resolve("superseded");
    reports.event(event(1n));
    await settled();
    expect(failures).to.deep.equal(["AGENT_UNAVAILABLE"]);
  });

  it("ends the stream, and asks for nothing, where a report can never be applied", async () => {
    outcome = () => Promise.reject(new ServiceError("INVALID_ARGUMENT", "sequence is out of range"));
    reports.event(event(1n));
    await settled();
    clock.advance(CATCH_UP_AT_MOST_MS);
    expect({ failures, resends }).to.deep.equal({ failures: ["INVALID_ARGUMENT"], resends: 0 });
  });

  it("goes on after a stale report", async () => {
    outcome = () => Promise.resolve("stale");
    reports.event(event(1n));
    reports.event(event(2n));
    await settled();
    expect(applied).to.have.length(2);
    expect(await registry.metrics()).to.include('reports_total{kind="event",outcome="stale"} 2');
  });

  it("ends the stream of an agent that reports faster than reports can be applied", () => {
    outcome = () => new Promise(() => undefined);
    for (let number = 1n; failures.length === 0 && number < 100_000n; number += 1n) reports.event(event(number));
    expect(failures).to.deep.equal(["LIMITED"]);
  });

  it("applies nothing after its close, which waits for what runs and forgets to ask", async () => {
    let finish: (outcome: ReportOutcome) => void = () => undefined;
    outcome = () => new Promise((resolve) => (finish = resolve));
    reports.event(event(1n));
    reports.event(event(2n));
    await settled();
    let closed = false;
    const closing = reports.close().then(() => (closed = true));
    await settled();
    expect(closed).to.equal(false);
    finish("applied");
    await closing;
    expect(applied).to.deep.equal(["started 1"]);
    expect(clock.waiting).to.equal(0);
  });
});
