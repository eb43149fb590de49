// SPDX-License-Identifier: Apache-2.0
// The reports of one agent stream, applied one after the other in the order they came. While the database is away they
// are dropped, since a snapshot that is asked for when it is back says the same and more.
import type { DomainEvent, InventorySnapshot } from "../../proto/gen/spicegate/agent/v1/agent.js";
import type { HypervisorReport, ReportedDomain, ReportOutcome } from "../instances/host.js";
import { CATCH_UP_MS, MAX_DOMAINS_PER_HOST, MAX_QUEUED_DOMAINS } from "../lib/limits.js";
import type { Clock } from "../lib/clock.js";
import type { Log } from "../lib/log.js";
import { messageOf } from "../lib/message-of.js";
import { reasonOf, ServiceError } from "../lib/service-error.js";
import { invalid } from "../lib/validate.js";
import type { ControllerMetrics } from "../telemetry/controller-metrics.js";
import type { InstanceRegistry } from "../instances/instance-registry.js";
import type { HostStream } from "../instances/host.js";
import { changeFrom, domainsFrom } from "./agent-messages.js";

/** What the reports of a stream need. */
export interface AgentReportsOptions {
  readonly stream: HostStream;
  readonly instances: Pick<InstanceRegistry, "applySnapshot" | "applyEvent" | "setHypervisor">;
  /** Asks the agent for a new snapshot. */
  readonly resend: () => void;
  /** Whether a report could be stored now. */
  readonly databaseUp: () => boolean;
  readonly clock: Clock;
  /** Ends the stream: its agent floods, or another process speaks for the host. */
  readonly fail: (error: ServiceError) => void;
  readonly log: Log;
  readonly metrics: Pick<ControllerMetrics, "reports" | "agentMessagesIgnored">;
}

type ReportKind = "snapshot" | "event" | "hypervisor";

/** Applies what one agent reports. */
export class AgentReports {
  readonly #options: AgentReportsOptions;
  #pages: ReportedDomain[] = [];
  #pagesSequence = 0n;
  /** Domains in the reports that wait. */
  #queued = 0;
  #work: Promise<void> = Promise.resolve();
  #closed = false;
  #cancelCatchUp: () => void = () => undefined;
  /** True while reports were lost, so that only a new snapshot makes sense of later events. */
  #behind = false;

  constructor(options: AgentReportsOptions) {
    this.#options = options;
  }

  /** Collects a page; the last one applies the snapshot. Throws INVALID_ARGUMENT for a malformed one. */
  snapshotPage(page: InventorySnapshot): void {
    if (page.sequence !== this.#pagesSequence) {
      this.#pages = [];
      this.#pagesSequence = page.sequence;
    }
    this.#pages.push(...domainsFrom(page));
    if (this.#pages.length > MAX_DOMAINS_PER_HOST) {
      throw invalid("domains", `must be at most ${MAX_DOMAINS_PER_HOST} a host`);
    }
    if (!page.lastPage) return;
    const domains = this.#pages;
    this.#pages = [];
    this.#behind = false;
    const { stream, instances } = this.#options;
    const apply = (): Promise<ReportOutcome> => instances.applySnapshot(stream, { sequence: page.sequence, domains });
    this.#enqueue("snapshot", apply, domains.length);
  }

  /** Applies a change. One of a kind that is not known is counted and ignored. */
  event(event: DomainEvent): void {
    const change = changeFrom(event);
    if (!change) return this.#options.metrics.agentMessagesIgnored.inc({ kind: "unknown_event" });
    const { stream, instances } = this.#options;
    this.#enqueue("event", () => instances.applyEvent(stream, { sequence: event.sequence, ...change }));
  }

  /** Notes whether the host's hypervisor is there. */
  hypervisor(report: HypervisorReport): void {
    const { stream, instances } = this.#options;
    this.#enqueue("hypervisor", async () => {
      await instances.setHypervisor(stream, report);
      return "applied";
    });
  }

  /** Nothing more is applied; resolves when what runs has ended. */
  close(): Promise<void> {
    this.#closed = true;
    this.#cancelCatchUp();
    return this.#work;
  }

  #enqueue(kind: ReportKind, apply: () => Promise<ReportOutcome>, domains = 1): void {
    if (this.#queued + domains > MAX_QUEUED_DOMAINS) {
      this.#options.fail(new ServiceError("LIMITED", "the agent sends more reports than can be applied"));
      return;
    }
    this.#queued += domains;
    this.#work = this.#work.then(() => {
      this.#queued -= domains;
      return this.#apply(kind, apply);
    });
  }

  async #apply(kind: ReportKind, apply: () => Promise<ReportOutcome>): Promise<void> {
    if (this.#closed || (this.#behind && kind === "event")) return;
    try {
      this.#settle(kind, await apply());
    } catch (error) {
      // A sequence number that no counter reaches: asking again would change nothing.
      if (error instanceof ServiceError && error.reason === "INVALID_ARGUMENT") {
        this.#options.fail(error);
        return;
      }
      this.#fallBehind();
      this.#options.metrics.reports.inc({ kind, outcome: "failed" });
      this.#logFailure(kind, error);
    }
  }

  /** Without a stack where the database is away: every agent's report fails then. */
  #logFailure(kind: ReportKind, error: unknown): void {
    const { log, stream } = this.#options;
    const away = reasonOf(error) === "DATABASE_UNAVAILABLE";
    const fields = { host: stream.host, kind, ...(away ? { detail: messageOf(error) } : { err: error }) };
    log[away ? "info" : "error"](fields, "a report was not applied");
  }

  #fallBehind(): void {
    this.#behind = true;
    this.#cancelCatchUp();
    // Jittered, since every agent falls behind in the moment the database goes.
    const wait = CATCH_UP_MS * (0.5 + Math.random());
    this.#cancelCatchUp = this.#options.clock.after(wait, () => this.#catchUp());
  }

  #catchUp(): void {
    if (this.#closed || !this.#behind) return;
    if (this.#options.databaseUp()) this.#options.resend();
    else this.#fallBehind();
  }

  #settle(kind: ReportKind, outcome: ReportOutcome): void {
    this.#options.metrics.reports.inc({ kind, outcome });
    if (outcome !== "superseded") return;
    this.#options.fail(new ServiceError("AGENT_UNAVAILABLE", "another agent process speaks for this host"));
  }
}
