// SPDX-License-Identifier: Apache-2.0
// What ends sessions, and what ends only their channels. Channels of this controller close at once; those of others when
// they next ask Postgres, a second later at most.
import type { AgentRouter } from "../agents/agent-router.js";
import { logAudit } from "../audit/audit-line.js";
import { SYSTEM_ACTOR } from "../audit/audit-log.js";
import type { AuditActor } from "../audit/audit-log.js";
import type { Querier } from "../db/connection.js";
import type { SweepTask } from "../db/sweep.js";
import type { InstanceChange, InstanceEnd } from "../instances/instance-change.js";
import type { InstanceRegistry } from "../instances/instance-registry.js";
import type { Clock } from "../lib/clock.js";
import { pause } from "../lib/deadline.js";
import { SESSION_SYNC_MS } from "../lib/limits.js";
import type { Part } from "../lib/lifecycle.js";
import type { Log } from "../lib/log.js";
import type { ChannelStore } from "../sessions/channel-store.js";
import { logClosedChannels } from "../sessions/channel-store.js";
import type { Session, SessionEndReason } from "../sessions/session.js";
import type { BegunSession } from "../sessions/session-beginnings.js";
import type { SessionRegistry } from "../sessions/session-registry.js";
import type { SessionStore } from "../sessions/session-store.js";
import { purgeSessions } from "../sessions/session-store.js";

/** What the endings need. */
export interface SessionEndingsOptions {
  readonly sessions: SessionStore;
  readonly channels: Pick<ChannelStore, "closeForsaken">;
  readonly registry: Pick<SessionRegistry, "endSession" | "endInstance" | "instanceMoved" | "closeHost">;
  readonly instances: Pick<InstanceRegistry, "onChange">;
  readonly agents: Pick<AgentRouter, "onGone">;
  readonly log: Log;
  readonly clock: Clock;
}

const REASONS = {
  stopped: "INSTANCE_STOPPED",
  crashed: "INSTANCE_CRASHED",
  deleted: "INSTANCE_DELETED",
} as const satisfies Record<InstanceEnd, SessionEndReason>;

type Ended = Pick<Session, "sessionId" | "instanceUuid" | "endReason">;

/** Ends sessions, and listens for what does. */
export class SessionEndings implements Part {
  readonly #options: SessionEndingsOptions;
  readonly #stopping = new AbortController();
  /** What happened to instances and is not yet written. */
  readonly #happened = new Map<string, SessionEndReason>();
  #unlisten: readonly (() => void)[] = [];
  #writing: Promise<void> | undefined;

  constructor(options: SessionEndingsOptions) {
    this.#options = options;
  }

  /** Begins to listen. */
  start(): void {
    const { instances, agents, registry } = this.#options;
    this.#unlisten = [
      instances.onChange((change) => this.#onChange(change)),
      agents.onGone((host) => registry.closeHost(host)),
    ];
  }

  /** Listens no more, and waits for what is being written. Twice is harmless. */
  async stop(): Promise<void> {
    for (const unlisten of this.#unlisten) unlisten();
    this.#unlisten = [];
    this.#stopping.abort();
    await this.#writing;
  }

  /** Ends a session for somebody. One that has ended stays as it is. */
  async terminate(sessionId: string, by: AuditActor): Promise<void> {
    this.#settle(await this.#options.sessions.end([sessionId], "TERMINATED", by), by);
  }

  /** Tells the viewers here that a session which has just begun took their console over; it is written already. */
  takenOver({ session, displaced }: BegunSession, by: AuditActor): void {
    const { instanceUuid } = session;
    this.#settle(
      displaced.map((sessionId) => ({ sessionId, instanceUuid, endReason: "TAKEN_OVER" as const })),
      by,
    );
  }

  /** Ends a batch of sessions without input for too long, and says how many. */
  async endIdle(): Promise<number> {
    const ended = await this.#options.sessions.endIdle();
    this.#settle(ended, SYSTEM_ACTOR);
    return ended.length;
  }

  /** Resolves when everything that happened to instances so far is written. */
  async idle(): Promise<void> {
    await this.#writing;
  }

  /** What a sweep has to do for sessions. */
  sweepTasks(): readonly SweepTask[] {
    const { sessions } = this.#options;
    const ending = (end: (querier: Querier) => Promise<readonly Session[]>) => async (querier: Querier) => {
      const ended = await end(querier);
      this.#settle(ended, SYSTEM_ACTOR);
      return ended.length;
    };
    return [
      { name: "channels of dead controllers", run: (querier) => this.#closeForsaken(querier) },
      { name: "expired sessions", run: ending((querier) => sessions.endExpired(querier)) },
      { name: "abandoned sessions", run: ending((querier) => sessions.endAbandoned(querier)) },
      { name: "old sessions", run: purgeSessions },
    ];
  }

  async #closeForsaken(querier: Querier): Promise<number> {
    const closed = await this.#options.channels.closeForsaken(querier);
    logClosedChannels(this.#options.log, closed);
    return closed.length;
  }

  /** The viewers need not wait for Postgres. */
  #onChange({ uuid, kind, instance }: InstanceChange): void {
    const { registry } = this.#options;
    if (kind === "moved") {
      if (instance?.host !== undefined) registry.instanceMoved(uuid, instance.host);
      return;
    }
    const reason = REASONS[kind];
    registry.endInstance(uuid, reason);
    this.#happened.set(uuid, reason);
    this.#writing ??= this.#writeAll();
  }

  async #writeAll(): Promise<void> {
    const { sessions, log, clock } = this.#options;
    const { signal } = this.#stopping;
    while (this.#happened.size > 0) {
      const batch = [...this.#happened];
      this.#happened.clear();
      try {
        const happened = batch.map(([instanceUuid, reason]) => ({ instanceUuid, reason }));
        this.#settle(await sessions.endOfInstances(happened), SYSTEM_ACTOR);
      } catch (error) {
        log.debug({ err: error }, "the end of sessions was not written; trying again");
        for (const [uuid, reason] of batch) if (!this.#happened.has(uuid)) this.#happened.set(uuid, reason);
        if (!(await pause(SESSION_SYNC_MS, signal, clock))) break;
      }
    }
    this.#writing = undefined;
  }

  #settle(ended: readonly Ended[], by: AuditActor): void {
    const { registry, log } = this.#options;
    const { subject, clientAddress, requestId } = by;
    for (const { sessionId, instanceUuid, endReason } of ended) {
      if (endReason === undefined) continue;
      registry.endSession(sessionId, endReason);
      const who = { subject, client: clientAddress, requestId };
      logAudit(log, "ended", { reason: endReason, ...who, instance: instanceUuid, session: sessionId });
    }
  }
}
