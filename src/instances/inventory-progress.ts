// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/clock.js";
import { INVENTORY_GRACE_MS } from "../lib/limits.js";
import type { HostStream } from "./host.js";

/** Which hosts have a stream to this controller, and whose inventory has come in whole over it. */
export class InventoryProgress {
  readonly #clock: Clock;
  readonly #streams = new Map<string, HostStream>();
  readonly #complete = new Set<string>();
  readonly #awaited = new Set<string>();
  #loadedAt: number | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The memory is filled; from now on the hosts that Postgres knows have 15 s to send their inventory. */
  loaded(hosts: Iterable<string>): void {
    if (this.#loadedAt !== undefined) return;
    this.#loadedAt = this.#clock.now();
    for (const host of hosts) if (!this.#complete.has(host)) this.#awaited.add(host);
  }

  /** True once the memory has been filled. */
  get isLoaded(): boolean {
    return this.#loadedAt !== undefined;
  }

  /** True while an unknown instance may still turn up: nothing is loaded, or a known host has not reported yet. */
  get isPending(): boolean {
    if (this.#loadedAt === undefined) return true;
    return this.#awaited.size > 0 && this.#clock.now() - this.#loadedAt < INVENTORY_GRACE_MS;
  }

  /** The streams that live. */
  get streams(): readonly HostStream[] {
    return [...this.#streams.values()];
  }

  /** A stream began; it replaces an older one of the same host. */
  opened(stream: HostStream): void {
    this.#streams.set(stream.host, stream);
    this.#complete.delete(stream.host);
  }

  /** A stream ended. Does nothing where another one has replaced it. */
  closed(stream: HostStream): void {
    if (this.#streams.get(stream.host)?.streamId !== stream.streamId) return;
    this.#streams.delete(stream.host);
    this.#complete.delete(stream.host);
  }

  /** The inventory has come in whole over this stream. */
  completed(stream: HostStream): void {
    this.#awaited.delete(stream.host);
    if (this.#streams.get(stream.host)?.streamId === stream.streamId) this.#complete.add(stream.host);
  }

  isConnected(host: string): boolean {
    return this.#streams.has(host);
  }

  isComplete(host: string): boolean {
    return this.#complete.has(host);
  }
}
