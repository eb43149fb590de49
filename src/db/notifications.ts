// SPDX-License-Identifier: Apache-2.0

// What other programs on the same database say with NOTIFY. LISTEN needs a connection of its own, since it belongs to
// the connection and not to the pool. Whatever is said while there is none is lost: who relies on hearing everything
// reads again each time that hearing begins anew. Knows nothing of what the messages mean.

import pg from "pg";
import { Backoff } from "../lib/backoff.js";
import type { Clock } from "../lib/clock.js";
import { systemClock } from "../lib/clock.js";
import { pause, withDeadline } from "../lib/deadline.js";
import type { Part } from "../lib/lifecycle.js";
import { DB_CONNECT_MS, DB_RECONNECT_BACKOFF, NOTIFICATIONS_PROBE_MS } from "../lib/limits.js";
import type { Log } from "../lib/log.js";
import { messageOf } from "../lib/message-of.js";
import type { DatabaseAddress } from "./connection-options.js";
import { connectionOptions } from "./connection-options.js";
import { cutConnection } from "./cut-connection.js";

/** What hearing needs. */
export interface NotificationsOptions extends DatabaseAddress {
  readonly channels: readonly string[];
  readonly log: Log;
  readonly clock?: Clock;
}

/** One stretch of time in which everything was heard; another one is another object. */
export interface Hearing {
  readonly since: number;
  /** What was said before this moment of the clock has been heard for certain; it moves on twice a second. */
  readonly until: number;
}

/** Hears NOTIFY. A connection that breaks is made anew; one that has gone silent is found by asking it something. */
export class Notifications implements Part {
  readonly #options: NotificationsOptions;
  readonly #clock: Clock;
  readonly #stopping = new AbortController();
  readonly #heard = new Map<string, Set<(payload: string) => void>>();
  readonly #began = new Set<() => void>();
  #hearing: { readonly since: number; until: number } | undefined;
  #loop: Promise<void> | undefined;
  #problem = "";

  constructor(options: NotificationsOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  /** Begins to connect; does not wait for it. */
  start(): void {
    this.#loop ??= this.#run();
  }

  /** Closes the connection. Twice is harmless. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#loop;
  }

  /** The present stretch; undefined while nothing can be heard. */
  get hearing(): Hearing | undefined {
    return this.#hearing;
  }

  /** Calls back with each payload that is said on one of the channels. Returns the way to stop it. */
  on(channel: string, listener: (payload: string) => void): () => void {
    const listeners = this.#heard.get(channel) ?? new Set();
    this.#heard.set(channel, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  /** Calls back each time that hearing begins, at once where it has begun. Returns the way to stop it. */
  onHearing(listener: () => void): () => void {
    this.#began.add(listener);
    if (this.#hearing) listener();
    return () => this.#began.delete(listener);
  }

  async #run(): Promise<void> {
    const backoff = new Backoff(DB_RECONNECT_BACKOFF);
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await this.#connect(() => backoff.reset());
      await pause(backoff.next(), signal, this.#clock);
    }
  }

  /** One connection, from its beginning to its end. */
  async #connect(onHearing: () => void): Promise<void> {
    const client = new pg.Client({ ...connectionOptions(this.#options), application_name: "spicegate notifications" });
    const over = new AbortController();
    const onStop = (): void => over.abort();
    this.#stopping.signal.addEventListener("abort", onStop);
    client.on("error", (error) => over.abort(error));
    client.on("end", () => over.abort(new Error("the server ended the connection")));
    client.on("notification", ({ channel, payload = "" }) => this.#tell(channel, payload));
    try {
      await this.#listen(client);
      onHearing();
      await this.#probe(client, over.signal);
      this.#lost(over.signal.reason);
    } catch (error) {
      this.#lost(error);
    } finally {
      this.#stopping.signal.removeEventListener("abort", onStop);
      await this.#close(client);
    }
  }

  async #listen(client: pg.Client): Promise<void> {
    await client.connect();
    const until = this.#clock.now();
    for (const channel of this.#options.channels) await client.query(`listen ${pg.escapeIdentifier(channel)}`);
    this.#hearing = { since: this.#clock.now(), until };
    this.#problem = "";
    this.#options.log.info("hears what other controllers change");
    for (const listener of this.#began) listener();
  }

  /** Returns when the connection is over, and throws where it has gone silent. */
  async #probe(client: pg.Client, over: AbortSignal): Promise<void> {
    while (await pause(NOTIFICATIONS_PROBE_MS, over, this.#clock)) {
      const until = this.#clock.now();
      await client.query("select 1");
      if (this.#hearing) this.#hearing.until = until;
    }
  }

  #tell(channel: string, payload: string): void {
    for (const listener of this.#heard.get(channel) ?? []) listener(payload);
  }

  /** The same trouble again and again is said once. */
  #lost(error: unknown): void {
    this.#hearing = undefined;
    const problem = messageOf(error);
    if (this.#stopping.signal.aborted || problem === this.#problem) return;
    this.#problem = problem;
    this.#options.log.warn({ problem }, "does not hear what other controllers change");
  }

  async #close(client: pg.Client): Promise<void> {
    const expired = (): Error => new Error("the server does not let go of the connection");
    try {
      await withDeadline({ ms: DB_CONNECT_MS, expired, clock: this.#clock }, () => client.end());
    } catch {
      cutConnection(client);
    }
  }
}
