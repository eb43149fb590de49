// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/clock.js";
import { systemClock } from "../lib/clock.js";
import { MAX_LEGACY_TOKENS, MAX_LEGACY_TOKENS_PER_INSTANCE } from "../lib/limits.js";
import type { AuthorizationStore } from "./authorization-store.js";
import { storeFull } from "./authorization-store.js";
import type { AuthorizedConsole } from "./console-auth.js";

/** How much a store may hold. */
export interface MemoryBounds {
  readonly tokens: number;
  readonly perInstance: number;
}

interface Kept {
  readonly console: AuthorizedConsole;
  /** By the monotonic clock, in milliseconds. */
  readonly expiresAt: number;
}

const BOUNDS: MemoryBounds = { tokens: MAX_LEGACY_TOKENS, perInstance: MAX_LEGACY_TOKENS_PER_INSTANCE };

/** Authorizations in the memory of this process, which forgets them when it ends. Nova's own default. */
export class MemoryStore implements AuthorizationStore {
  readonly #clock: Clock;
  readonly #bounds: MemoryBounds;
  /** In the order in which they came. */
  readonly #kept = new Map<string, Kept>();
  readonly #hashesOf = new Map<string, Set<string>>();

  constructor(clock: Clock = systemClock, bounds: MemoryBounds = BOUNDS) {
    this.#clock = clock;
    this.#bounds = bounds;
  }

  /** How many are kept, expired ones that nobody has come across yet among them. */
  get size(): number {
    return this.#kept.size;
  }

  /** Nothing to start. */
  start(): void {}

  /** Forgets everything. */
  stop(): void {
    this.#kept.clear();
    this.#hashesOf.clear();
  }

  put(tokenHash: string, console: AuthorizedConsole, ttlMs: number): Promise<void> {
    const { instanceUuid } = console;
    this.#remove(tokenHash);
    this.#dropOldest();
    for (const hash of this.#hashesOf.get(instanceUuid) ?? []) this.#unexpired(hash);
    if (this.#kept.size >= this.#bounds.tokens) return Promise.reject(storeFull("the legacy store"));
    const hashes = this.#hashesOf.get(instanceUuid) ?? new Set();
    if (hashes.size >= this.#bounds.perInstance) return Promise.reject(storeFull("the instance"));
    this.#kept.set(tokenHash, { console, expiresAt: this.#clock.now() + ttlMs });
    this.#hashesOf.set(instanceUuid, hashes.add(tokenHash));
    return Promise.resolve();
  }

  find(tokenHash: string): Promise<AuthorizedConsole | undefined> {
    return Promise.resolve(this.#unexpired(tokenHash));
  }

  take(tokenHash: string): Promise<AuthorizedConsole | undefined> {
    const console = this.#unexpired(tokenHash);
    this.#remove(tokenHash);
    return Promise.resolve(console);
  }

  removeAll(instanceUuid: string): Promise<number> {
    const hashes = [...(this.#hashesOf.get(instanceUuid) ?? [])].filter((hash) => this.#unexpired(hash));
    for (const hash of hashes) this.#remove(hash);
    return Promise.resolve(hashes.length);
  }

  /** What has expired is removed on the way. */
  #unexpired(tokenHash: string): AuthorizedConsole | undefined {
    const kept = this.#kept.get(tokenHash);
    if (kept && kept.expiresAt > this.#clock.now()) return kept.console;
    this.#remove(tokenHash);
    return undefined;
  }

  /** Nearly all live equally long, so those that came first expire first: this keeps the memory from growing, without a timer. */
  #dropOldest(): void {
    for (const tokenHash of this.#kept.keys()) if (this.#unexpired(tokenHash)) return;
  }

  #remove(tokenHash: string): void {
    const kept = this.#kept.get(tokenHash);
    if (!kept) return;
    this.#kept.delete(tokenHash);
    const { instanceUuid } = kept.console;
    const hashes = this.#hashesOf.get(instanceUuid);
    hashes?.delete(tokenHash);
    if (hashes?.size === 0) this.#hashesOf.delete(instanceUuid);
  }
}
