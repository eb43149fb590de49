// SPDX-License-Identifier: Apache-2.0
import { logAudit } from "../audit/audit-line.js";
import type { AgentRouter } from "../agents/agent-router.js";
import type { Displays } from "../displays/display.js";
import type { InstanceRegistry } from "../instances/instance-registry.js";
import type { Clock } from "../lib/clock.js";
import { abortError } from "../lib/deadline.js";
import { IDLE_WARNING_S } from "../lib/limits.js";
import type { Log } from "../lib/log.js";
import { ServiceError } from "../lib/service-error.js";
import type { LocalChannel } from "../sessions/local-channel.js";
import type { SessionEndReason } from "../sessions/session.js";
import type { SessionRegistry } from "../sessions/session-registry.js";
import { limited } from "../sessions/session-rules.js";
import type { ProvenSession, SessionStore, StandingSession } from "../sessions/session-store.js";
import type { ControllerMetrics } from "../telemetry/controller-metrics.js";
import type { SessionEndings } from "./session-endings.js";
import { OpenViewerChannel } from "./viewer-channel.js";
import type { ViewerDrain } from "./viewer-drain.js";
import type { ViewerRefusals } from "./viewer-refusals.js";
import type { IdleTime, SessionStatus, ViewerChannel, ViewerContext, ViewerSessions } from "./viewer.js";

/** What the sessions of viewers need. */
export interface ProvenSessionsOptions {
  readonly sessions: Pick<SessionStore, "findProven">;
  readonly registry: SessionRegistry;
  readonly endings: Pick<SessionEndings, "terminate">;
  readonly instances: Pick<InstanceRegistry, "find" | "findFresh">;
  readonly agents: Pick<AgentRouter, "isConnected">;
  readonly displays: Displays;
  readonly drain: Pick<ViewerDrain, "isDraining" | "requireOpen">;
  readonly refusals: ViewerRefusals;
  readonly metrics: Pick<ControllerMetrics, "firstByteSeconds">;
  readonly log: Log;
  readonly clock: Clock;
  /** Channels that one session may have open. */
  readonly maxChannels: number;
  /** After so many seconds without input a session ends; 0 = never. */
  readonly idleS: number;
  /** Names of the SPICE channel types that are let in. */
  readonly channelTypes: ReadonlySet<string>;
}

/** What viewers do with sessions that they can prove. */
export class ProvenSessions implements ViewerSessions {
  readonly #options: ProvenSessionsOptions;

  constructor(options: ProvenSessionsOptions) {
    this.#options = options;
  }

  /** See ViewerSessions. */
  async status(sessionId: string, proof: string): Promise<SessionStatus> {
    const standing = await this.#require(sessionId, proof);
    const reason = endOf(standing);
    if (reason !== undefined) return { state: "ended", reason };
    const { session, idleMs } = standing;
    const { instances, drain, idleS } = this.#options;
    const instance = instances.find(session.instanceUuid) ?? (await instances.findFresh(session.instanceUuid));
    return { state: "open", session, instance, draining: drain.isDraining, idle: idleTime(idleS, idleMs) };
  }

  /** See ViewerSessions. */
  async end(sessionId: string, proof: string, context: ViewerContext): Promise<void> {
    const { refusals, endings } = this.#options;
    const { session } = await refusals.noting({ sessionId }, context, () => this.#require(sessionId, proof));
    const { subject, projectId } = session;
    const { requestId, clientAddress } = context;
    await endings.terminate(sessionId, { subject, projectId, requestId, clientAddress });
  }

  /** See ViewerSessions. */
  async openChannel(sessionId: string, proof: string, context: ViewerContext): Promise<ViewerChannel> {
    const { refusals, clock } = this.#options;
    const askedAt = clock.now();
    const channel = await refusals.noting({ sessionId }, context, () => this.#open(sessionId, proof, context));
    return new OpenViewerChannel(channel, { ...this.#options, context, askedAt });
  }

  async #open(sessionId: string, proof: string, context: ViewerContext): Promise<LocalChannel> {
    const { drain, registry, log } = this.#options;
    drain.requireOpen();
    const { requestId, clientAddress, signal } = context;
    const channel = await registry.open({ sessionId, proof, requestId, clientAddress });
    if (!channel) throw await this.#whyNot(sessionId, proof);
    const { subject, instanceUuid } = channel.session;
    const what = { subject, instance: instanceUuid, session: sessionId, channel: String(channel.channelId) };
    logAudit(log, "channel-opened", { ...what, client: clientAddress, requestId });
    if (!signal.aborted) return channel;
    registry.closed(channel, "VIEWER_LEFT");
    throw abortError(signal);
  }

  async #require(sessionId: string, proof: string): Promise<ProvenSession> {
    const standing = await this.#options.sessions.findProven(sessionId, proof);
    if (!standing) throw new ServiceError("SESSION_NOT_FOUND", "there is no such session");
    return standing;
  }

  async #whyNot(sessionId: string, proof: string): Promise<ServiceError> {
    const reason = endOf(await this.#require(sessionId, proof));
    if (reason === undefined) return limited("max_channels", this.#options.maxChannels);
    return new ServiceError("SESSION_ENDED", "the session has ended", { metadata: { reason } });
  }
}

/** Why it has ended; a session whose time is up has, whether or not anybody has written it down. */
export function endOf({ session, expired }: StandingSession): SessionEndReason | undefined {
  return session.endReason ?? (expired ? "SESSION_EXPIRED" : undefined);
}

function idleTime(idleS: number, idleMs: number): IdleTime | undefined {
  if (idleS === 0) return undefined;
  return { leftS: Math.max(0, idleS - idleMs / 1_000), warnedAtS: Math.min(IDLE_WARNING_S, idleS / 2) };
}
