// SPDX-License-Identifier: Apache-2.0

// Tells watchers what happens to instances. Every change passes the memory, whichever controller made it; so watching
// costs Postgres nothing.

import { abortError } from "../lib/deadline.js";
import { MAX_WATCHERS } from "../lib/limits.js";
import { ServiceError } from "../lib/service-error.js";
import { WatchBacklog } from "../lib/watch-backlog.js";
import type { Instance } from "./instance.js";
import type { InstanceMemory } from "./instance-memory.js";

/** One step of a watch: an instance as it is now, one that is gone from the view, or that all there were have been told. */
export type InstanceStep =
  | { readonly kind: "instance"; readonly instance: Instance }
  | { readonly kind: "removed"; readonly uuid: string }
  | { readonly kind: "synced" };

/** Which instances a watcher sees. */
export type InstanceView = (instance: Instance) => boolean;

interface Watcher {
  readonly sees: InstanceView;
  readonly backlog: WatchBacklog<InstanceStep>;
}

/** The watches of this controller. */
export class InstanceWatches {
  readonly #memory: InstanceMemory;
  readonly #watchers = new Set<Watcher>();

  constructor(memory: InstanceMemory) {
    this.#memory = memory;
    memory.onChange((uuid, before, after) => this.#tell(uuid, before, after));
  }

  /** How many watch. */
  get count(): number {
    return this.#watchers.size;
  }

  /**
   * The instances in view, "synced", and then each that changes, until the signal aborts. What changes while the first
   * ones are told is told again behind them. Throws LIMITED where there are too many watchers, or too much not taken.
   */
  async *watch(sees: InstanceView, signal: AbortSignal): AsyncGenerator<InstanceStep, void> {
    if (this.#watchers.size >= MAX_WATCHERS) throw new ServiceError("LIMITED", "too many calls watch instances");
    const watcher = { sees, backlog: new WatchBacklog<InstanceStep>("instances") };
    this.#watchers.add(watcher);
    try {
      for (const instance of this.#memory.living()) {
        if (signal.aborted) throw abortError(signal);
        if (sees(instance)) yield { kind: "instance", instance };
      }
      yield { kind: "synced" };
      for (;;) yield await watcher.backlog.take(signal);
    } finally {
      this.#watchers.delete(watcher);
    }
  }

  #tell(uuid: string, before: Instance | undefined, after: Instance | undefined): void {
    for (const { sees, backlog } of this.#watchers) {
      if (after && sees(after)) backlog.add(uuid, { kind: "instance", instance: after });
      else if (before && sees(before)) backlog.add(uuid, { kind: "removed", uuid });
    }
  }
}
