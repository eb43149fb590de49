// SPDX-License-Identifier: Apache-2.0

// The instances and hosts. Postgres is the truth: every change is decided there, and the memory here only repeats what
// it said, so that a request can be refused or routed without asking it. Knows nothing of streams, protocols or tokens
// beyond deleting them.

import type { AuditActor } from "../audit/audit-log.js";
import { Batches } from "../db/batches.js";
import type { Querier } from "../db/connection.js";
import type { Notifications } from "../db/notifications.js";
import { pageOf } from "../db/page-token.js";
import type { Page, PageRequest } from "../db/page-token.js";
import type { Database } from "../db/pool.js";
import { DatabaseShare } from "../db/database-share.js";
import type { SweepTask } from "../db/sweep.js";
import type { Clock } from "../lib/clock.js";
import { systemClock } from "../lib/clock.js";
import type { Part } from "../lib/lifecycle.js";
import {
  AGENT_DB_CONNECTIONS,
  AGENT_WAITS_MS,
  INVENTORY_DB_CONNECTIONS,
  INVENTORY_WAITS_MS,
  MAX_WAITING_AGENTS,
  PURGE_BATCH,
} from "../lib/limits.js";
import type { Log } from "../lib/log.js";
import { ServiceError } from "../lib/service-error.js";
import { invalid } from "../lib/validate.js";
import { FaultRecorder } from "./fault-recorder.js";
import { HostStore, settleDisputes } from "./host-store.js";
import type {
  EventReport,
  Host,
  HostHello,
  HostStream,
  HypervisorReport,
  ReportOutcome,
  SnapshotReport,
} from "./host.js";
import { endByEvent, endBySnapshot, isMove } from "./instance-change.js";
import type { InstanceChange } from "./instance-change.js";
import { InstanceMemory } from "./instance-memory.js";
import { InstanceStore } from "./instance-store.js";
import { InstanceWatches } from "./instance-watches.js";
import type { InstanceStep, InstanceView } from "./instance-watches.js";
import type {
  Instance,
  InstanceChanges,
  InstanceFault,
  InstanceFilters,
  InstanceRegistration,
  RecordedFault,
} from "./instance.js";
import { InventoryProgress } from "./inventory-progress.js";
import { purgeClaims, purgeControllers, purgeTombstones, purgeUndefined } from "./inventory-purge.js";
import { MemoryUpkeep } from "./memory-upkeep.js";
import type { OwnershipRules } from "./ownership.js";
import { ReportStore } from "./report-store.js";
import type { ReportResult } from "./report-store.js";

/** What the registry needs. */
export interface InstanceRegistryOptions extends OwnershipRules {
  readonly database: Database;
  readonly log: Log;
  /** Names this run of the controller. */
  readonly controllerId: string;
  /** How it hears what other controllers change; without it there must be none. */
  readonly notifications?: Notifications | undefined;
  readonly clock?: Clock;
}

const MOST_BIGINT = 2n ** 63n - 1n;
const AGENTS_SHARE = { slots: AGENT_DB_CONNECTIONS, waiting: MAX_WAITING_AGENTS, waitMs: AGENT_WAITS_MS };
const INVENTORIES_SHARE = { ...AGENTS_SHARE, slots: INVENTORY_DB_CONNECTIONS, waitMs: INVENTORY_WAITS_MS };

/** Instances and hosts. All methods that return promises fail with DATABASE_UNAVAILABLE while Postgres is away. */
export class InstanceRegistry implements Part {
  readonly #options: InstanceRegistryOptions;
  readonly #memory: InstanceMemory;
  readonly #progress: InventoryProgress;
  readonly #instances: InstanceStore;
  readonly #hosts: HostStore;
  readonly #reports: ReportStore;
  readonly #faults: FaultRecorder;
  /** Agents may all come at once, for example after a restart: then they share statements, and callers still find a connection. */
  readonly #greetings: Batches<HostHello, HostStream>;
  readonly #agentsShare: DatabaseShare;
  /** Whole inventories take long: an agent that joins, or a machine that stops, does not wait behind thousands of them. */
  readonly #inventoriesShare: DatabaseShare;
  readonly #upkeep: MemoryUpkeep;
  readonly #watches: InstanceWatches;
  readonly #listeners = new Set<(change: InstanceChange) => void>();

  constructor(options: InstanceRegistryOptions) {
    const { database, log, clock = systemClock } = options;
    this.#options = options;
    this.#memory = new InstanceMemory(clock);
    this.#progress = new InventoryProgress(clock);
    this.#instances = new InstanceStore(database, options);
    this.#hosts = new HostStore(database, options);
    this.#reports = new ReportStore(database, options);
    this.#faults = new FaultRecorder(database, log);
    this.#agentsShare = new DatabaseShare(database, AGENTS_SHARE, clock);
    this.#greetings = new Batches((hellos) =>
      this.#agentsShare.run(() => this.#hosts.welcome(options.controllerId, hellos)),
    );
    this.#inventoriesShare = new DatabaseShare(database, INVENTORIES_SHARE, clock);
    this.#watches = new InstanceWatches(this.#memory);
    this.#memory.onChange((uuid, before, after) => {
      if (isMove(before, after)) this.#tell(uuid, "moved");
      if (before && !after) this.#tell(uuid, "deleted");
    });
    this.#upkeep = new MemoryUpkeep({
      ...options,
      memory: this.#memory,
      progress: this.#progress,
      instances: this.#instances,
      hosts: this.#hosts,
    });
  }

  /** Fills the memory as soon as Postgres is there, and again each time it, or hearing, comes back. */
  start(): void {
    this.#faults.start();
    this.#upkeep.start();
  }

  /** Ends the filling and the recording of faults. Twice is harmless. */
  async stop(): Promise<void> {
    await this.#upkeep.stop();
    await this.#faults.stop();
  }

  /**
   * Calls back for each instance that stopped or crashed by what this controller was told first (what another one was
   * told, that one tells), for each that was deleted, by whichever controller, and for each that has moved, once on each
   * controller, as soon as it knows, whichever way it comes to know. Returns the way to stop it.
   */
  onChange(listener: (change: InstanceChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** True once the memory has been filled for the first time. */
  isLoaded(): boolean {
    return this.#progress.isLoaded;
  }

  /** Resolves when no filling of the memory is under way: it is filled, or Postgres went away. */
  async loaded(): Promise<void> {
    await this.#upkeep.loaded();
  }

  /** True while an unknown instance may still turn up; at most 15 s after the memory was filled. */
  inventoryPending(): boolean {
    return this.#progress.isPending;
  }

  /** An instance from memory; never a tombstone, and undefined where memory may be behind what others have changed. */
  find(uuid: string): Instance | undefined {
    return this.#upkeep.isCurrentFor(uuid) ? this.#memory.find(uuid) : undefined;
  }

  /**
   * An instance from Postgres, for a uuid that `find` does not give: one of that project, where one is named; "" names none
   * of them. That it is unknown is not remembered.
   */
  async findFresh(uuid: string, projectId?: string): Promise<Instance | undefined> {
    const instance = await this.#instances.find(uuid, projectId);
    if (instance) this.#memory.take([instance]);
    return instance?.deleted ? undefined : instance;
  }

  /** True once this controller has the host's whole inventory over the present stream. */
  isHostComplete(host: string): boolean {
    return this.#progress.isComplete(host);
  }

  /**
   * The instances in view, "synced", and then each that changes, until the signal aborts. Throws LIMITED where there are
   * too many watchers or one is too slow, and INVENTORY_INCOMPLETE while memory may be behind; a watch that has begun
   * goes on then, and is told what it missed.
   */
  watch(sees: InstanceView, signal: AbortSignal): AsyncGenerator<InstanceStep, void> {
    if (this.isLoaded() && this.#upkeep.isCurrent()) return this.#watches.watch(sees, signal);
    throw new ServiceError("INVENTORY_INCOMPLETE", "the instances are being read; ask again in a second");
  }

  /** How many calls watch. */
  watchCount(): number {
    return this.#watches.count;
  }

  /** How many instances the memory holds. */
  count(): number {
    return this.#memory.size;
  }

  /** How many instances are claimed as running by two hosts. */
  conflictCount(): number {
    return this.#memory.conflicts;
  }

  /** The streams of agents to this controller. */
  streams(): readonly HostStream[] {
    return this.#progress.streams;
  }

  /** Lets an agent in; from here on its host is up. A later Hello of the same host replaces the stream. */
  async welcomeHost(hello: HostHello): Promise<HostStream> {
    const stream = await this.#greetings.add(hello);
    this.#progress.opened(stream);
    return stream;
  }

  /** A stream ended; another one of the same host is left alone. Never fails: what Postgres misses is made good later. */
  async hostDisconnected(stream: HostStream): Promise<void> {
    this.#progress.closed(stream);
    try {
      this.#memory.take(await this.#agentsShare.run(() => this.#hosts.disconnect(stream)));
    } catch (error) {
      this.#options.log.debug({ err: error, host: stream.host }, "the end of a stream is recorded later");
    }
  }

  /** What an agent says of its hypervisor; ignored where another process speaks for the host by now. */
  async setHypervisor(stream: HostStream, report: HypervisorReport): Promise<void> {
    await this.#agentsShare.run(() => this.#hosts.setHypervisor(stream, report));
  }

  /** Applies a whole inventory; the host counts as complete unless the stream has been superseded. */
  async applySnapshot(
    stream: HostStream,
    report: Pick<SnapshotReport, "sequence" | "domains">,
  ): Promise<ReportOutcome> {
    checkSequence(report.sequence);
    const { host, generation } = stream;
    const result = await this.#inventoriesShare.run(() =>
      this.#reports.applySnapshot({ ...report, host, generation }, this.#memory.onHost(host)),
    );
    if (result.outcome !== "superseded") this.#progress.completed(stream);
    const before = new Map(result.instances.map(({ uuid }) => [uuid, this.#memory.find(uuid)]));
    const outcome = this.#remember(result);
    if (outcome !== "applied") return outcome;
    for (const instance of result.instances) {
      this.#tell(instance.uuid, endBySnapshot(host, before.get(instance.uuid), instance));
    }
    return outcome;
  }

  /** Applies one change. Await each report of a stream before the next. */
  async applyEvent(
    stream: HostStream,
    report: Pick<EventReport, "sequence" | "kind" | "domain">,
  ): Promise<ReportOutcome> {
    checkSequence(report.sequence);
    const { host, generation } = stream;
    const result = await this.#agentsShare.run(() => this.#reports.applyEvent({ ...report, host, generation }));
    const outcome = this.#remember(result);
    const { uuid } = report.domain;
    if (outcome === "applied") this.#tell(uuid, endByEvent(report.kind, host, this.#memory.find(uuid)));
    return outcome;
  }

  /** Creates, replaces or revives the orchestrator's half; twice the same changes nothing. */
  async register(registration: InstanceRegistration): Promise<Instance> {
    return this.#takeOne(await this.#instances.register(registration));
  }

  /** Changes some fields. INSTANCE_NOT_FOUND; INVALID_ARGUMENT for `host` while an agent claims the domain. */
  async update(uuid: string, changes: InstanceChanges): Promise<Instance> {
    return this.#takeOne(await this.#instances.update(uuid, changes));
  }

  /** Leaves a tombstone, deletes all tokens and says how many. INSTANCE_NOT_FOUND the second time. */
  async delete(uuid: string, actor: AuditActor): Promise<number> {
    const { tombstone, tokens } = await this.#instances.delete(uuid, actor);
    const known = this.#memory.find(uuid) !== undefined;
    // News of what was known is told as such; the notification may have been quicker than the answer.
    if (this.#memory.take([tombstone]).length > 0 && !known) this.#tell(uuid, "deleted");
    return tokens;
  }

  /** One page of instances, by uuid. INVALID_ARGUMENT for a page token of another list. */
  list(filters: InstanceFilters, page: PageRequest): Promise<Page<Instance>> {
    return this.#instances.list(filters, page);
  }

  /** One page of hosts, by name. */
  async listHosts(page: PageRequest): Promise<Page<Host>> {
    const hosts = (await this.#hosts.list(page)).map((host) => ({
      ...host,
      connected: this.#progress.isConnected(host.host),
      inventoryComplete: this.#progress.isComplete(host.host),
    }));
    return pageOf(hosts, page, {}, ({ host }) => host);
  }

  /** Records a failure on the host's side in the background. */
  recordFault(fault: InstanceFault): void {
    this.#faults.record(fault);
  }

  /** The last ten faults of an instance, newest first. */
  faults(uuid: string): Promise<readonly RecordedFault[]> {
    return this.#faults.read(uuid);
  }

  /** Resolves when every fault recorded so far is written or dropped. */
  faultsWritten(): Promise<void> {
    return this.#faults.idle();
  }

  /** What a sweep has to do for instances and hosts. */
  sweepTasks(): readonly SweepTask[] {
    return [
      { name: "disputes", run: (querier) => this.#settleDisputes(querier) },
      { name: "undefined instances", run: (querier) => this.#purgeUndefined(querier) },
      { name: "tombstones", run: purgeTombstones },
      { name: "gone claims", run: purgeClaims },
      { name: "dead controllers", run: purgeControllers },
    ];
  }

  async #settleDisputes(querier: Querier): Promise<number> {
    this.#memory.take(await settleDisputes(querier, PURGE_BATCH, this.#options));
    return 0;
  }

  async #purgeUndefined(querier: Querier): Promise<number> {
    const uuids = await purgeUndefined(querier);
    const unknown = uuids.filter((uuid) => this.#memory.find(uuid) === undefined);
    this.#memory.drop(uuids);
    for (const uuid of unknown) this.#tell(uuid, "deleted");
    return uuids.length;
  }

  #tell(uuid: string, kind: InstanceChange["kind"] | undefined): void {
    if (kind === undefined) return;
    const change = { uuid, kind, instance: this.#memory.find(uuid) };
    for (const listener of this.#listeners) listener(change);
  }

  #remember({ outcome, instances }: ReportResult): ReportOutcome {
    this.#memory.take(instances);
    return outcome;
  }

  #takeOne(instance: Instance): Instance {
    this.#memory.take([instance]);
    return instance;
  }
}

/** The wire's numbers are unsigned; half of them must do. */
function checkSequence(sequence: bigint): void {
  if (sequence < 0n || sequence > MOST_BIGINT) throw invalid("sequence", "is out of range");
}
