// SPDX-License-Identifier: Apache-2.0

// The channels that are open on this controller. Postgres knows of them from the statement that let them in; what they
// carry and how they end is written behind their backs, so that a Postgres that is away disturbs nobody. What waits to
// be written meanwhile is bounded by the channels there are, since none is let in without Postgres.

import { logAudit } from "../audit/audit-line.js";
import type { Database } from "../db/pool.js";
import type { Clock } from "../lib/clock.js";
import { systemClock } from "../lib/clock.js";
import { IntervalLoop } from "../lib/interval-loop.js";
import type { Part } from "../lib/lifecycle.js";
import {
  CHANNEL_SETTLES_MS,
  CONTROLLER_LEASE_MS,
  HEARTBEAT_INTERVAL_MS,
  PURGE_BATCH,
  SESSION_SYNC_MS,
} from "../lib/limits.js";
import type { Log } from "../lib/log.js";
import { Waiters } from "../lib/waiters.js";
import type { ControllerMetrics } from "../telemetry/controller-metrics.js";
import type { ChannelClose, ChannelRequest, ChannelStore } from "./channel-store.js";
import { logClosedChannels } from "./channel-store.js";
import { channelTypeName } from "./channel-type.js";
import { LocalChannel, MAIN_CHANNEL } from "./local-channel.js";
import type { ChannelEndReason, SessionEndReason } from "./session.js";
import type { SessionStore } from "./session-store.js";

/** What the registry needs. */
export interface SessionRegistryOptions {
  readonly channels: ChannelStore;
  readonly sessions: Pick<SessionStore, "endIfExpired">;
  readonly database: Pick<Database, "isReady">;
  readonly log: Log;
  readonly metrics: Pick<ControllerMetrics, "sessionsOpen" | "channelsOpen" | "channelBytes">;
  readonly clock?: Clock;
}

/** Timers take no longer waits. */
const MAX_TIMER_MS = 2 ** 31 - 1;
/** Postgres' clock and ours may tick a little differently. */
const EXPIRY_SLACK_MS = 5;

interface LocalSession {
  readonly channels: Set<LocalChannel>;
  cancelExpiry: () => void;
}

/** The sessions and channels of this process. */
export class SessionRegistry implements Part {
  readonly #options: SessionRegistryOptions;
  readonly #clock: Clock;
  readonly #loop: IntervalLoop;
  readonly #sessions = new Map<string, LocalSession>();
  readonly #channels = new Map<bigint, LocalChannel>();
  /** Closed channels of which Postgres does not know yet. */
  readonly #closed = new Map<LocalChannel, ChannelEndReason>();
  readonly #idle = new Waiters();
  #writing: Promise<void> | undefined;
  #leaving = false;
  #lastSync: number;
  /** Until then others may still believe that this controller is gone. */
  #doubtedUntil = -Infinity;
  /**
   * When an opening failed last, channels were taken back, or Postgres was away after that. The opening may work all the
   * same, and a channel that closed meanwhile may be open again.
   */
  #doubtfulAt: number | undefined;

  constructor(options: SessionRegistryOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#loop = new IntervalLoop({ ms: SESSION_SYNC_MS, run: () => this.sync(), clock: this.#clock });
    this.#lastSync = this.#clock.now();
  }

  /** Begins to write what channels carry and to look for sessions that ended elsewhere. */
  start(): void {
    this.#loop.start();
  }

  /** Writes what waits, where Postgres is there. Twice is harmless. */
  async stop(): Promise<void> {
    await this.#loop.stop();
    await this.#writeClosed();
    for (const session of this.#sessions.values()) session.cancelExpiry();
  }

  /** How many sessions have a channel here. */
  get sessionCount(): number {
    return this.#sessions.size;
  }

  /** Whether the session has a channel here. */
  has(sessionId: string): boolean {
    return this.#sessions.has(sessionId);
  }

  /** How many channels are open here. */
  get size(): number {
    return this.#channels.size;
  }

  /** Lets a viewer in. Undefined where proof, end, expiry or the number of channels forbids it. */
  async open(request: ChannelRequest): Promise<LocalChannel | undefined> {
    try {
      const opened = await this.#options.channels.open(request);
      if (!opened) return undefined;
      const channel = new LocalChannel(opened, this.#clock);
      this.#add(channel, opened.remainingMs);
      return channel;
    } catch (error) {
      this.#doubtfulAt = this.#clock.now();
      throw error;
    }
  }

  /** True where one of the session's channels here is its main channel. */
  hasMain(sessionId: string): boolean {
    const channels = this.#sessions.get(sessionId)?.channels ?? [];
    return [...channels].some(({ type }) => type === MAIN_CHANNEL);
  }

  /** Notes which channel it is. Of a main channel the others' controllers must know before its viewer goes on. */
  async identify(channel: LocalChannel, type: number, number: number): Promise<void> {
    const open = this.#channels.has(channel.channelId);
    if (open) this.#countOpen(channel, -1);
    channel.identify(type, number);
    if (open) this.#countOpen(channel, 1);
    if (type === MAIN_CHANNEL) await this.#writeCounts([channel], []);
  }

  /** The channel is gone. A second call does nothing. */
  closed(channel: LocalChannel, reason: ChannelEndReason): void {
    if (!this.#channels.delete(channel.channelId)) return;
    this.#leave(channel);
    this.#countOpen(channel, -1);
    this.#countBytes(channel);
    this.#closed.set(channel, reason);
    void this.#writeClosed();
    if (this.#channels.size > 0) return;
    this.#idle.wake();
  }

  /** A session has ended: its channels here close. */
  endSession(sessionId: string, reason: SessionEndReason): void {
    for (const channel of this.#sessions.get(sessionId)?.channels ?? []) channel.close(reason);
  }

  /** Something ended all sessions of an instance: their channels here close. */
  endInstance(instanceUuid: string, reason: SessionEndReason): void {
    this.#closeWhere(({ session }) => session.instanceUuid === instanceUuid, reason);
  }

  /** The instance is on this host now: what shows it on another one closes. */
  instanceMoved(instanceUuid: string, host: string): void {
    const left = (channel: LocalChannel): boolean =>
      channel.session.instanceUuid === instanceUuid && channel.host !== host;
    this.#closeWhere(left, "INSTANCE_MOVED");
  }

  /** The agent of a host is gone, and the displays that it carries with it. */
  closeHost(host: string): void {
    this.#closeWhere((channel) => channel.host === host && channel.needsAgent, "AGENT_GONE");
  }

  /** This controller stops: what is open closes, and so does what was being let in as soon as it is. */
  closeAll(): void {
    this.#leaving = true;
    this.#closeWhere(() => true, "CONTROLLER_DRAINING");
  }

  /** Resolves when no channel is open here. */
  async idle(): Promise<void> {
    if (this.#channels.size > 0) await this.#idle.wait();
  }

  /** Writes what is to be written, and closes what ended elsewhere. Fails never: what could not be written waits. */
  async sync(): Promise<void> {
    if (!this.#options.database.isReady()) {
      this.#postponeLost();
      return;
    }
    await this.#writeClosed();
    try {
      await this.#takeBack();
      const changed = [...this.#channels.values()].filter((channel) => channel.takeChanged());
      for (const channel of changed) this.#countBytes(channel);
      if (!(await this.#writeCounts(changed, [...this.#sessions.keys()]))) {
        this.#postponeLost();
        return;
      }
      this.#lastSync = this.#clock.now();
      await this.#closeLost();
    } catch (error) {
      this.#options.log.debug({ err: error }, "the channels were not written; trying again");
    }
  }

  #add(channel: LocalChannel, remainingMs: number | undefined): void {
    const { sessionId } = channel.session;
    const session = this.#sessions.get(sessionId) ?? this.#newSession(sessionId, remainingMs);
    session.channels.add(channel);
    this.#channels.set(channel.channelId, channel);
    this.#countOpen(channel, 1);
    if (this.#leaving) channel.close("CONTROLLER_DRAINING");
  }

  #newSession(sessionId: string, remainingMs: number | undefined): LocalSession {
    const session: LocalSession = { channels: new Set(), cancelExpiry: () => undefined };
    this.#sessions.set(sessionId, session);
    this.#options.metrics.sessionsOpen.set(this.#sessions.size);
    if (remainingMs !== undefined) this.#armExpiry(sessionId, session, remainingMs + EXPIRY_SLACK_MS);
    return session;
  }

  #armExpiry(sessionId: string, session: LocalSession, ms: number): void {
    session.cancelExpiry = this.#clock.after(Math.min(ms, MAX_TIMER_MS), () => {
      if (ms > MAX_TIMER_MS) this.#armExpiry(sessionId, session, ms - MAX_TIMER_MS);
      else void this.#expire(sessionId);
    });
  }

  /** Its time is up whether or not Postgres can be told; a sweep makes good what was not. */
  async #expire(sessionId: string): Promise<void> {
    this.endSession(sessionId, "SESSION_EXPIRED");
    const { sessions, log } = this.#options;
    try {
      const ended = await sessions.endIfExpired(sessionId);
      if (ended)
        logAudit(log, "ended", { reason: "SESSION_EXPIRED", instance: ended.instanceUuid, session: sessionId });
    } catch (error) {
      log.debug({ err: error }, "the end of an expired session is written later");
    }
  }

  #leave(channel: LocalChannel): void {
    const { sessionId } = channel.session;
    const session = this.#sessions.get(sessionId);
    session?.channels.delete(channel);
    if (session?.channels.size !== 0) return;
    session.cancelExpiry();
    this.#sessions.delete(sessionId);
    this.#options.metrics.sessionsOpen.set(this.#sessions.size);
  }

  #closeWhere(fits: (channel: LocalChannel) => boolean, reason: ChannelEndReason): void {
    for (const channel of [...this.#channels.values()]) if (fits(channel)) channel.close(reason);
  }

  #countOpen(channel: LocalChannel, by: 1 | -1): void {
    this.#options.metrics.channelsOpen.inc({ type: channelTypeName(channel.type) }, by);
  }

  #countBytes(channel: LocalChannel): void {
    const { channelBytes } = this.#options.metrics;
    const { toMachine, toViewer } = channel.takeUncountedBytes();
    channelBytes.inc({ direction: "to_machine" }, toMachine);
    channelBytes.inc({ direction: "to_viewer" }, toViewer);
  }

  /** Returns whether it worked. */
  async #writeCounts(channels: readonly LocalChannel[], sessionIds: readonly string[]): Promise<boolean> {
    if (channels.length === 0 && sessionIds.length === 0) return true;
    try {
      const counts = channels.map((channel) => channel.counts());
      const endings = await this.#options.channels.sync(counts, sessionIds);
      for (const { sessionId, reason } of endings) this.endSession(sessionId, reason);
      return true;
    } catch (error) {
      for (const channel of channels) channel.markChanged();
      this.#options.log.debug({ err: error }, "the counts of channels were not written; trying again");
      return false;
    }
  }

  /** After a silence, others may have taken this controller for dead and its channels for closed. */
  async #takeBack(): Promise<void> {
    const now = this.#clock.now();
    if (now - this.#lastSync > HEARTBEAT_INTERVAL_MS) this.#doubtedUntil = now + CONTROLLER_LEASE_MS;
    if (now > this.#doubtedUntil || this.#channels.size === 0) return;
    this.#doubtfulAt = now;
    await this.#options.channels.reopen([...this.#channels.values()].map((channel) => channel.counts()));
  }

  #postponeLost(): void {
    if (this.#doubtfulAt !== undefined) this.#doubtfulAt = this.#clock.now();
  }

  /** Its row may be as young as the answer would have been late, and is closed only when it has settled itself. */
  async #closeLost(): Promise<void> {
    const doubtfulAt = this.#doubtfulAt;
    if (doubtfulAt === undefined || this.#clock.now() - doubtfulAt <= CHANNEL_SETTLES_MS) return;
    const last = this.#clock.now() - doubtfulAt > 2 * CHANNEL_SETTLES_MS;
    const living = [...this.#channels.keys(), ...[...this.#closed.keys()].map(({ channelId }) => channelId)];
    logClosedChannels(this.#options.log, await this.#options.channels.closeLost(living));
    // Another opening may have failed meanwhile.
    if (last && this.#doubtfulAt === doubtfulAt) this.#doubtfulAt = undefined;
  }

  #writeClosed(): Promise<void> {
    this.#writing ??= this.#writeClosedBatches().finally(() => {
      this.#writing = undefined;
    });
    return this.#writing;
  }

  async #writeClosedBatches(): Promise<void> {
    const { channels, database, log } = this.#options;
    while (this.#closed.size > 0 && database.isReady()) {
      const batch = [...this.#closed].slice(0, PURGE_BATCH);
      const closes = batch.map(([channel, reason]): ChannelClose => ({ ...channel.counts(), reason }));
      try {
        logClosedChannels(log, await channels.close(closes));
      } catch (error) {
        log.debug({ err: error }, "the end of channels was not written; trying again");
        return;
      }
      for (const [channel] of batch) this.#closed.delete(channel);
    }
  }
}
