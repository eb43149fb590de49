// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/clock.js";
import { AGENT_BURST_S, AGENT_MESSAGE_UNIT_BYTES, LIMIT_NOTE_INTERVAL_MS } from "../lib/limits.js";
import type { Log } from "../lib/log.js";
import { Pace } from "../lib/pace.js";
import type { ControllerMetrics } from "../telemetry/controller-metrics.js";

/** What is used of an agent's stream. */
export interface PacedCall {
  pause(): unknown;
  resume(): unknown;
  getPeer(): string;
}

/** What the pace needs. */
export interface AgentPaceOptions {
  readonly call: PacedCall;
  /** The setting limits.agent_messages. */
  readonly messagesPerSecond: number;
  readonly log: Log;
  readonly metrics: Pick<ControllerMetrics, "limitsReached">;
  readonly clock: Clock;
}

const LIMIT = "agent_messages";

/**
 * Reads no faster from one agent than it may speak: what it says meanwhile waits at the agent, whose stream is held back,
 * and other agents are heard as ever. Nothing is lost, so that no legitimate storm is punished.
 */
export class AgentPace {
  readonly #options: AgentPaceOptions;
  readonly #pace: Pace;
  #cancelRest: () => void = () => undefined;
  #notedAt = -Infinity;

  constructor(options: AgentPaceOptions) {
    const { messagesPerSecond: perSecond, clock } = options;
    this.#options = options;
    this.#pace = new Pace({ perSecond, burst: perSecond * AGENT_BURST_S }, clock);
  }

  /** A message of so many bytes has come. */
  received(bytes: number): void {
    const restMs = this.#pace.spend(Math.max(1, bytes / AGENT_MESSAGE_UNIT_BYTES));
    if (restMs === 0) return;
    const { call, clock } = this.#options;
    call.pause();
    this.#cancelRest();
    this.#cancelRest = clock.after(restMs, () => call.resume());
    this.#note();
  }

  /** The stream is gone. */
  stop(): void {
    this.#cancelRest();
  }

  #note(): void {
    const { call, clock, log, metrics } = this.#options;
    metrics.limitsReached.inc({ limit: LIMIT });
    if (clock.now() - this.#notedAt < LIMIT_NOTE_INTERVAL_MS) return;
    this.#notedAt = clock.now();
    log.warn({ peer: call.getPeer(), limit: LIMIT }, "an agent says more than it may, and is read more slowly");
  }
}
