// SPDX-License-Identifier: Apache-2.0
// Numbers and orders what controllers are told about this host's domains. It does not know how reports travel.
//
// One worker does one thing at a time: it reads a snapshot, or it looks up one changed domain. So numbers never cross:
// a snapshot takes its number before it is read, an event after its domain was looked up, and an event that happens
// while a snapshot is read is looked up afterwards and gets a higher number. What it then says is at least as new as
// the snapshot, so applying it on top is right whether or not the snapshot has seen the change already.
import type { DomainEvent } from "../proto/gen/spicegate/agent/v1/agent.js";
import { Backoff } from "../src/lib/backoff.js";
import type { Clock } from "../src/lib/clock.js";
import { pause } from "../src/lib/deadline.js";
import { LIBVIRT_CALL_MS, LIBVIRT_LIST_MS, MAX_QUEUED_REPORTS, SNAPSHOT_BACKOFF } from "../src/lib/limits.js";
import type { Part } from "../src/lib/lifecycle.js";
import type { Log } from "../src/lib/log.js";
import { reasonOf } from "../src/lib/service-error.js";
import type { AgentMetrics } from "./agent-metrics.js";
import type { DomainChange, DomainDescription, Hypervisor, HypervisorStatus } from "./hypervisor.js";
import { eventFromChange } from "./messages.js";

/** All domains of the host, with the report's number. */
export interface Snapshot {
  readonly sequence: bigint;
  readonly domains: readonly DomainDescription[];
}

/** One receiver of reports: a stream that was welcomed. Reports come in the order in which they are to be applied. */
export interface ReportSink {
  status(status: HypervisorStatus): void;
  snapshot(snapshot: Snapshot): void;
  event(event: DomainEvent): void;
}

/** What the inventory works with. */
export interface InventoryOptions {
  readonly hypervisor: Hypervisor;
  readonly metrics: AgentMetrics;
  readonly log: Log;
  readonly clock: Clock;
  /** The waits after a snapshot that could not be read. */
  readonly backoff?: Backoff;
}

/** The inventory of one agent process: one counter, any number of receivers. */
export class Inventory implements Part {
  readonly #options: InventoryOptions;
  readonly #sinks = new Set<ReportSink>();
  /** Those that are to get a snapshot next; until then events are of no use to them. */
  readonly #wanting = new Set<ReportSink>();
  readonly #stopping = new AbortController();
  readonly #backoff: Backoff;
  #unlisten: (() => void)[] = [];
  #changes: DomainChange[] = [];
  #sequence = 0n;
  #working = false;

  constructor(options: InventoryOptions) {
    this.#options = options;
    this.#backoff = options.backoff ?? new Backoff(SNAPSHOT_BACKOFF);
  }

  start(): void {
    const { hypervisor } = this.#options;
    this.#unlisten = [
      hypervisor.onStatus((status) => this.#onStatus(status)),
      hypervisor.onChange((change) => this.#onChange(change)),
    ];
  }

  stop(): void {
    for (const unlisten of this.#unlisten.splice(0)) unlisten();
    this.#stopping.abort();
  }

  /** Adds a receiver, which gets a snapshot as soon as there is one; returns the way to leave. */
  join(sink: ReportSink): () => void {
    this.#sinks.add(sink);
    this.resend(sink);
    return () => {
      this.#sinks.delete(sink);
      this.#wanting.delete(sink);
    };
  }

  /** Sends a new snapshot to a receiver that has joined; does nothing for another. */
  resend(sink: ReportSink): void {
    if (!this.#sinks.has(sink)) return;
    this.#wanting.add(sink);
    void this.#work();
  }

  #resendToAll(): void {
    for (const sink of this.#sinks) this.#wanting.add(sink);
    void this.#work();
  }

  #onStatus(status: HypervisorStatus): void {
    this.#changes = [];
    for (const sink of this.#sinks) sink.status(status);
    if (status.available) this.#resendToAll();
  }

  #onChange(change: DomainChange): void {
    if (this.#sinks.size === 0) return;
    if (this.#changes.length >= MAX_QUEUED_REPORTS) return this.#giveUpEvents();
    this.#changes.push(change);
    void this.#work();
  }

  #giveUpEvents(): void {
    const { log, metrics } = this.#options;
    metrics.eventsDropped.inc(this.#changes.length + 1);
    log.warn({ dropped: this.#changes.length + 1 }, "too many domain events wait: taking a new snapshot");
    this.#changes = [];
    this.#resendToAll();
  }

  async #work(): Promise<void> {
    if (this.#working) return;
    this.#working = true;
    while (this.#mayWork()) {
      if (this.#wanting.size > 0) await this.#sendSnapshot();
      else await this.#sendEvent();
    }
    this.#working = false;
  }

  #mayWork(): boolean {
    if (this.#stopping.signal.aborted || !this.#options.hypervisor.status().available) return false;
    return this.#wanting.size > 0 || this.#changes.length > 0;
  }

  async #sendSnapshot(): Promise<void> {
    const { hypervisor, log, clock } = this.#options;
    const { signal } = this.#stopping;
    const receivers = [...this.#wanting];
    this.#wanting.clear();
    const sequence = ++this.#sequence;
    try {
      const domains = await hypervisor.describeAll({ ms: LIBVIRT_LIST_MS, signal });
      this.#backoff.reset();
      // After an absence meanwhile another snapshot is on its way.
      if (!hypervisor.status().available) return;
      for (const sink of receivers) if (this.#sinks.has(sink)) sink.snapshot({ sequence, domains });
    } catch (error) {
      for (const sink of receivers) if (this.#sinks.has(sink)) this.#wanting.add(sink);
      if (signal.aborted || !hypervisor.status().available) return;
      log.warn({ err: error }, "the inventory could not be read: trying again");
      await pause(this.#backoff.next(), signal, clock);
    }
  }

  async #sendEvent(): Promise<void> {
    const change = this.#changes.shift();
    if (!change) return;
    try {
      const after = await this.#lookUp(change.uuid);
      const event = eventFromChange(++this.#sequence, change, after);
      for (const sink of this.#sinks) if (!this.#wanting.has(sink)) sink.event(event);
    } catch (error) {
      const { hypervisor, log, metrics } = this.#options;
      if (this.#stopping.signal.aborted || !hypervisor.status().available) return;
      metrics.eventsDropped.inc();
      log.warn({ err: error, instance: change.uuid }, "a changed domain could not be read: taking a new snapshot");
      this.#resendToAll();
    }
  }

  async #lookUp(uuid: string): Promise<DomainDescription | undefined> {
    try {
      const { signal } = this.#stopping;
      return await this.#options.hypervisor.describe(uuid, { ms: LIBVIRT_CALL_MS, signal });
    } catch (error) {
      if (reasonOf(error) === "INSTANCE_NOT_FOUND") return undefined;
      throw error;
    }
  }
}
