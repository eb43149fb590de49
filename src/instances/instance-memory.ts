// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/clock.js";
import { FORGET_REMOVED_MS } from "../lib/limits.js";
import type { Instance } from "./instance.js";

/** Hears of an instance that has become another one here; a tombstone is none. */
type ChangeListener = (uuid: string, before: Instance | undefined, after: Instance | undefined) => void;

interface Removed {
  readonly uuid: string;
  readonly at: number;
}

/**
 * The instances as Postgres last told them. Answers may arrive in another order than they were decided in, so a row
 * counts only where its revision is newer, and a removed instance is remembered for a minute.
 */
export class InstanceMemory {
  readonly #clock: Clock;
  readonly #instances = new Map<string, Instance>();
  readonly #byHost = new Map<string, Set<string>>();
  readonly #removed: Removed[] = [];
  readonly #listeners = new Set<ChangeListener>();
  #conflicts = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Calls back for each change, until the memory itself goes. */
  onChange(listener: ChangeListener): void {
    this.#listeners.add(listener);
  }

  /** A living instance. */
  find(uuid: string): Instance | undefined {
    return living(this.#instances.get(uuid));
  }

  /** The living instances. It may be changed meanwhile: each is then given as it is when its turn comes. */
  *living(): Generator<Instance, void> {
    for (const instance of this.#instances.values()) if (!instance.deleted) yield instance;
  }

  /** The uuids believed to be on a host. */
  onHost(host: string): readonly string[] {
    return [...(this.#byHost.get(host) ?? [])];
  }

  /** How many instances are known; for a minute those that were removed count too. */
  get size(): number {
    return this.#instances.size;
  }

  /** How many instances two hosts say they run. */
  get conflicts(): number {
    return this.#conflicts;
  }

  /** Takes rows in; older ones than what is known change nothing. Returns those that were news. */
  take(instances: readonly Instance[]): readonly Instance[] {
    const news = instances.filter((instance) => this.#takeOne(instance));
    this.#forgetRemoved();
    return news;
  }

  /** Drops instances whose rows are gone. */
  drop(uuids: Iterable<string>): void {
    for (const uuid of uuids) this.#replace(uuid, undefined);
  }

  /** What is known now, to compare with a full read that begins. */
  snapshot(): ReadonlyMap<string, Instance> {
    return new Map(this.#instances);
  }

  /** After a full read: drops what was known before it began, did not change meanwhile and was not read. */
  dropUnseen(before: ReadonlyMap<string, Instance>, seen: ReadonlySet<string>): void {
    for (const [uuid, instance] of before) {
      if (!seen.has(uuid) && this.#instances.get(uuid) === instance) this.#replace(uuid, undefined);
    }
  }

  #takeOne(instance: Instance): boolean {
    const known = this.#instances.get(instance.uuid);
    if (known && known.revision >= instance.revision) return false;
    this.#replace(instance.uuid, instance);
    if (instance.deleted) this.#removed.push({ uuid: instance.uuid, at: this.#clock.now() });
    return true;
  }

  #replace(uuid: string, next: Instance | undefined): void {
    const known = this.#instances.get(uuid);
    if (known?.host !== undefined) this.#leaveHost(known.host, uuid);
    if (known?.conflictHost !== undefined) this.#conflicts -= 1;
    if (next) this.#instances.set(uuid, next);
    else this.#instances.delete(uuid);
    if (next?.host !== undefined) this.#joinHost(next.host, uuid);
    if (next?.conflictHost !== undefined) this.#conflicts += 1;
    for (const listener of this.#listeners) listener(uuid, living(known), living(next));
  }

  #joinHost(host: string, uuid: string): void {
    const uuids = this.#byHost.get(host) ?? new Set<string>();
    this.#byHost.set(host, uuids.add(uuid));
  }

  #leaveHost(host: string, uuid: string): void {
    const uuids = this.#byHost.get(host);
    uuids?.delete(uuid);
    if (uuids?.size === 0) this.#byHost.delete(host);
  }

  #forgetRemoved(): void {
    const before = this.#clock.now() - FORGET_REMOVED_MS;
    while (this.#removed[0] && this.#removed[0].at < before) {
      const { uuid } = this.#removed.shift() as Removed;
      if (this.#instances.get(uuid)?.deleted) this.#replace(uuid, undefined);
    }
  }
}

function living(instance: Instance | undefined): Instance | undefined {
  return instance?.deleted ? undefined : instance;
}
