// SPDX-License-Identifier: Apache-2.0

// Keeps the memory what Postgres says. It is filled when Postgres is there; then what other controllers change is heard
// and read. After a time in which nothing could be heard everything is read again, and until that is done the memory
// may be behind: `isCurrent` says so, and who asks then reads Postgres.

import type { Hearing, Notifications } from "../db/notifications.js";
import type { Database } from "../db/pool.js";
import { Backoff } from "../lib/backoff.js";
import { pause } from "../lib/deadline.js";
import type { Part } from "../lib/lifecycle.js";
import { DB_RECONNECT_BACKOFF, LOAD_BATCH, MAX_HEARD_CHANGES, SNAPSHOT_BATCH } from "../lib/limits.js";
import type { Log } from "../lib/log.js";
import { isUuid } from "../lib/validate.js";
import { INSTANCES_CHANNEL } from "./announcements.js";
import type { HostStore } from "./host-store.js";
import type { Instance } from "./instance.js";
import type { InstanceMemory } from "./instance-memory.js";
import type { InstanceStore } from "./instance-store.js";
import type { InventoryProgress } from "./inventory-progress.js";

/** What the upkeep needs. */
export interface MemoryUpkeepOptions {
  readonly database: Pick<Database, "isReady" | "onReady">;
  /** What other controllers change. Without it there must be none. */
  readonly notifications?: Pick<Notifications, "hearing" | "on" | "onHearing"> | undefined;
  readonly memory: InstanceMemory;
  readonly progress: InventoryProgress;
  readonly instances: Pick<InstanceStore, "read" | "readAfter">;
  readonly hosts: Pick<HostStore, "names">;
  readonly log: Log;
}

const FIRST_UUID = "00000000-0000-0000-0000-000000000000";

/** Fills the memory and follows what others change. */
export class MemoryUpkeep implements Part {
  readonly #options: MemoryUpkeepOptions;
  readonly #stopping = new AbortController();
  /** Changed elsewhere, not read yet; and being read. */
  readonly #heard = new Set<string>();
  #underWay: ReadonlySet<string> = new Set();
  /** The stretch of hearing that began before everything was read. */
  #wholeSince: Hearing | undefined;
  /** How often everything was asked to be read, and how many of these askings have been met. */
  #asked = 0;
  #met = 0;
  #loading: Promise<void> | undefined;
  #reading: Promise<void> | undefined;
  #unsubscribe: readonly ((() => unknown) | undefined)[] = [];

  constructor(options: MemoryUpkeepOptions) {
    this.#options = options;
  }

  /** Fills the memory as soon as Postgres is there, and again each time it, or hearing, comes back. */
  start(): void {
    const { database, notifications } = this.#options;
    this.#unsubscribe = [
      database.onReady(() => this.#loadAgain()),
      notifications?.onHearing(() => this.#loadAgain()),
      notifications?.on(INSTANCES_CHANNEL, (uuid) => this.#hear(uuid)),
    ];
  }

  /** Ends what reads. Twice is harmless. */
  async stop(): Promise<void> {
    for (const unsubscribe of this.#unsubscribe) unsubscribe?.();
    this.#stopping.abort();
    await this.#loading;
    await this.#reading;
  }

  /** True while the memory is what Postgres says, as far as others change it: all was read, and all is heard. */
  isCurrent(): boolean {
    const { notifications } = this.#options;
    if (!notifications) return true;
    return notifications.hearing !== undefined && notifications.hearing === this.#wholeSince;
  }

  /** The same of one instance: false also while a change of it is being read. */
  isCurrentFor(uuid: string): boolean {
    return this.isCurrent() && !this.#heard.has(uuid) && !this.#underWay.has(uuid);
  }

  /** Resolves when no filling is under way: the memory is filled, or Postgres went away. */
  async loaded(): Promise<void> {
    await this.#loading;
  }

  /** Without Postgres it is asked for again when that is back. */
  #loadAgain(): void {
    this.#asked += 1;
    if (this.#options.database.isReady()) this.#loading ??= this.#load();
  }

  async #load(): Promise<void> {
    const { database, notifications, log } = this.#options;
    const { signal } = this.#stopping;
    const backoff = new Backoff(DB_RECONNECT_BACKOFF);
    while (this.#met < this.#asked && database.isReady() && !signal.aborted) {
      const asked = this.#asked;
      const hearing = notifications?.hearing;
      try {
        await this.#loadAll();
        this.#met = asked;
        // Asked again meanwhile: what was lost then may have been read before.
        if (asked === this.#asked) this.#wholeSince = hearing;
      } catch (error) {
        log.warn({ err: error }, "could not read the inventory; trying again");
        await pause(backoff.next(), signal);
      }
    }
    this.#loading = undefined;
  }

  async #loadAll(): Promise<void> {
    const { memory, progress, instances, hosts } = this.#options;
    const before = memory.snapshot();
    const seen = new Set<string>();
    const names = await hosts.names();
    let batch: readonly Instance[] = [];
    do {
      batch = await instances.readAfter(batch.at(-1)?.uuid ?? FIRST_UUID, LOAD_BATCH);
      if (this.#stopping.signal.aborted) return;
      memory.take(batch);
      for (const { uuid } of batch) seen.add(uuid);
    } while (batch.length === LOAD_BATCH);
    memory.dropUnseen(before, seen);
    progress.loaded(names);
  }

  /** This controller's own changes are heard as well; they make good a commit whose answer was lost. */
  #hear(uuid: string): void {
    if (!isUuid(uuid)) return;
    this.#heard.add(uuid);
    if (this.#heard.size > MAX_HEARD_CHANGES) return this.#readEverything();
    this.#reading ??= this.#readHeard();
  }

  #readEverything(): void {
    this.#heard.clear();
    this.#wholeSince = undefined;
    this.#loadAgain();
  }

  async #readHeard(): Promise<void> {
    while (this.#heard.size > 0 && !this.#stopping.signal.aborted) {
      const uuids = [...this.#heard].slice(0, SNAPSHOT_BATCH);
      for (const uuid of uuids) this.#heard.delete(uuid);
      this.#underWay = new Set(uuids);
      try {
        this.#take(uuids, await this.#options.instances.read(uuids));
      } catch (error) {
        this.#options.log.debug({ err: error }, "could not read what others have changed");
        this.#readEverything();
      }
      this.#underWay = new Set();
    }
    this.#reading = undefined;
  }

  #take(uuids: readonly string[], instances: readonly Instance[]): void {
    const { memory } = this.#options;
    const found = new Set(instances.map(({ uuid }) => uuid));
    memory.drop(uuids.filter((uuid) => !found.has(uuid)));
    memory.take(instances);
  }
}
