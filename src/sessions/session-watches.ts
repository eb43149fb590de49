// SPDX-License-Identifier: Apache-2.0

// Tells watchers what happens to sessions, on whichever controller it happens. While anybody watches, one statement a
// second asks Postgres for what has changed; what a watcher has not taken yet waits once per session.

import type { Clock } from "../lib/clock.js";
import { systemClock } from "../lib/clock.js";
import { pause } from "../lib/deadline.js";
import type { Part } from "../lib/lifecycle.js";
import { MAX_WATCH_BACKLOG, MAX_WATCHERS, SESSION_SYNC_MS } from "../lib/limits.js";
import type { Log } from "../lib/log.js";
import { ServiceError } from "../lib/service-error.js";
import { tooMuchToWatch, WatchBacklog } from "../lib/watch-backlog.js";
import type { ControllerMetrics } from "../telemetry/controller-metrics.js";
import type { SessionWithChannels } from "./session.js";
import type { WatchedSession, WatchFilter, WatchStore } from "./watch-store.js";

/** One step of a watch: a session as it is now, or that all that were open have been told. */
export type WatchStep =
  { readonly kind: "session"; readonly session: SessionWithChannels } | { readonly kind: "synced" };

/** What the watches need. */
export interface SessionWatchesOptions {
  readonly store: WatchStore;
  readonly log: Log;
  readonly metrics: Pick<ControllerMetrics, "watches">;
  readonly clock?: Clock;
}

/** One watcher: what it sees and has not taken yet. */
class Watcher {
  readonly #filter: WatchFilter;
  /** By the session they are about; "" is the one that says "synced". */
  readonly backlog = new WatchBacklog<WatchStep>("sessions");
  /** What it was told at the beginning, so that the next look does not tell it again. */
  #told = new Map<string, string>();

  constructor(filter: WatchFilter) {
    this.#filter = filter;
  }

  begin(sessions: readonly WatchedSession[]): void {
    for (const { session, changedIn } of sessions) {
      this.#told.set(session.sessionId, changedIn);
      this.backlog.add(session.sessionId, { kind: "session", session });
    }
    this.backlog.add("", { kind: "synced" });
  }

  tell(sessions: readonly WatchedSession[]): void {
    const told = this.#told;
    this.#told = new Map();
    for (const { session, changedIn } of sessions) {
      if (this.#sees(session) && told.get(session.sessionId) !== changedIn) {
        this.backlog.add(session.sessionId, { kind: "session", session });
      }
    }
  }

  #sees({ instanceUuid, projectId }: SessionWithChannels): boolean {
    const { instanceUuid: wanted = instanceUuid, projectId: project = projectId } = this.#filter;
    return instanceUuid === wanted && projectId === project && this.#filter.projectId !== "";
  }
}

/** The watches of this controller. */
export class SessionWatches implements Part {
  readonly #options: SessionWatchesOptions;
  readonly #clock: Clock;
  readonly #watchers = new Set<Watcher>();
  readonly #stopping = new AbortController();
  /** Looks and beginnings follow each other, so that no watcher hears the older of two states last. */
  #work: Promise<void> = Promise.resolve();
  #loop: Promise<void> | undefined;
  #horizon = "0";
  /** What the last look found, which the next one may find again. */
  #seen = new Map<string, string>();

  constructor(options: SessionWatchesOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  /** Nothing to start: it looks while somebody watches. */
  start(): void {
    this.#seen = new Map();
  }

  /** Looks no more; the calls that watch end before. Twice is harmless. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#loop;
    await this.#work;
  }

  /**
   * The open sessions, "synced", and then each that changes, until the signal aborts. Throws DATABASE_UNAVAILABLE where
   * it cannot begin, and LIMITED where there are too many watchers, or too much that was not taken.
   */
  async *watch(filter: WatchFilter, signal: AbortSignal): AsyncGenerator<WatchStep, void> {
    if (this.#watchers.size >= MAX_WATCHERS) throw new ServiceError("LIMITED", "too many calls watch sessions");
    const watcher = new Watcher(filter);
    this.#watchers.add(watcher);
    this.#options.metrics.watches.set(this.#watchers.size);
    try {
      await this.#serially(() => this.#begin(watcher, filter));
      this.#loop ??= this.#run();
      for (;;) yield await watcher.backlog.take(signal);
    } finally {
      this.#watchers.delete(watcher);
      this.#options.metrics.watches.set(this.#watchers.size);
    }
  }

  /** Looks for changes now and tells them. Fails never: what was missed is found by the next look. */
  look(): Promise<void> {
    return this.#serially(async () => {
      try {
        this.#tell(await this.#options.store.changedSince(this.#horizon, MAX_WATCH_BACKLOG + 1));
      } catch (error) {
        this.#options.log.debug({ err: error }, "could not look for changed sessions; trying again");
      }
    });
  }

  async #run(): Promise<void> {
    while (this.#watchers.size > 0 && (await pause(SESSION_SYNC_MS, this.#stopping.signal, this.#clock))) {
      await this.look();
    }
    this.#loop = undefined;
  }

  async #begin(watcher: Watcher, filter: WatchFilter): Promise<void> {
    const { store } = this.#options;
    if (!this.#loop) this.#horizon = await store.horizon();
    const sessions = await store.open(filter, MAX_WATCH_BACKLOG);
    if (sessions.length === MAX_WATCH_BACKLOG) throw tooMuchToWatch("sessions");
    watcher.begin(sessions);
  }

  #tell({ horizon, sessions }: { readonly horizon: string; readonly sessions: readonly WatchedSession[] }): void {
    const changed = sessions.filter(({ session, changedIn }) => this.#seen.get(session.sessionId) !== changedIn);
    this.#horizon = horizon;
    this.#seen = new Map(sessions.map(({ session, changedIn }) => [session.sessionId, changedIn]));
    for (const watcher of this.#watchers) {
      if (sessions.length > MAX_WATCH_BACKLOG) watcher.backlog.overflow();
      else watcher.tell(changed);
    }
  }

  #serially(work: () => Promise<void>): Promise<void> {
    const result = this.#work.then(work);
    this.#work = result.catch(() => undefined);
    return result;
  }
}
