// SPDX-License-Identifier: Apache-2.0
import type { Notifications } from "../db/notifications.js";
import type { Clock } from "../lib/clock.js";
import { pause } from "../lib/deadline.js";
import type { Part } from "../lib/lifecycle.js";
import { REVOCATIONS_LOOK_MS, REVOCATIONS_UNHEARD_MS } from "../lib/limits.js";
import type { Log } from "../lib/log.js";
import type { HostCertificateStore, Revocation } from "./host-certificate-store.js";
import { REVOCATIONS_CHANNEL } from "./host-certificate-store.js";

/** What knowing them needs. */
export interface HostRevocationsOptions {
  readonly store: Pick<HostCertificateStore, "revocations">;
  /** Hears REVOCATIONS_CHANNEL. */
  readonly notifications: Pick<Notifications, "on" | "onHearing" | "hearing">;
  readonly log: Log;
  readonly clock: Clock;
}

/**
 * The hosts that were revoked, in memory. They are heard of when it happens, and read again while that is not certain.
 * Memory alone lets in, and never refuses: a host may have joined again a moment ago.
 */
export class HostRevocations implements Part {
  readonly #options: HostRevocationsOptions;
  readonly #stopping = new AbortController();
  readonly #listeners = new Set<(host: string) => void>();
  #revoked: ReadonlyMap<string, Revocation> | undefined;
  /** Reads follow each other, so that the older of two answers is not the last. */
  #reads: Promise<void> = Promise.resolve();
  #readsNext = false;
  #unsubscribe: readonly (() => unknown)[] = [];
  #loop: Promise<void> | undefined;

  constructor(options: HostRevocationsOptions) {
    this.#options = options;
  }

  start(): void {
    const { notifications } = this.#options;
    this.#unsubscribe = [
      notifications.onHearing(() => void this.#read()),
      notifications.on(REVOCATIONS_CHANNEL, () => void this.#read()),
    ];
    this.#loop ??= this.#run();
  }

  /** Twice is harmless. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    await this.#loop;
    await this.#reads;
  }

  /**
   * Whether a host is kept out, with the certificate of this serial number or, where it shows none, by its name. Throws
   * DATABASE_UNAVAILABLE where that cannot be said.
   */
  async isRefused(host: string, serial: string | undefined): Promise<boolean> {
    if (this.#revoked && !this.#revoked.has(host)) return false;
    const [revocation] = await this.#options.store.revocations(host);
    if (!revocation) return false;
    return serial === undefined ? !revocation.readmitted : !revocation.serials.includes(serial);
  }

  /** Calls back with each host that is revoked from now on. Returns the way to stop it. */
  onRevoked(listener: (host: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async #run(): Promise<void> {
    const { clock } = this.#options;
    while (await pause(REVOCATIONS_LOOK_MS, this.#stopping.signal, clock)) {
      if (!this.#hears() || !this.#revoked) await this.#read();
    }
  }

  #hears(): boolean {
    const { notifications, clock } = this.#options;
    const { hearing } = notifications;
    return hearing !== undefined && clock.now() - hearing.until < REVOCATIONS_UNHEARD_MS;
  }

  /** Many calls in one instant make one read. */
  #read(): Promise<void> {
    if (this.#readsNext) return this.#reads;
    this.#readsNext = true;
    this.#reads = this.#reads.then(async () => {
      this.#readsNext = false;
      try {
        this.#take(await this.#options.store.revocations());
      } catch (error) {
        this.#options.log.debug({ err: error }, "the revoked hosts were not read");
      }
    });
    return this.#reads;
  }

  /** Whoever was let in before the first read may have been revoked by then. */
  #take(revocations: readonly Revocation[]): void {
    const before = this.#revoked;
    this.#revoked = new Map(revocations.map((revocation) => [revocation.host, revocation]));
    const news = revocations.filter(({ host, mark }) => before?.get(host)?.mark !== mark);
    for (const { host } of news) for (const listener of this.#listeners) listener(host);
  }
}
