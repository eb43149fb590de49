// SPDX-License-Identifier: Apache-2.0
// Which agents are connected here. A host has one live stream; when a second one comes, the newer wins. A stream is
// removed by identity, so the late end of an old stream never removes its replacement.
import type { Peer } from "../../proto/gen/spicegate/agent/v1/agent.js";
import { DrainCause } from "../../proto/gen/spicegate/agent/v1/agent.js";
import type { Clock } from "../lib/clock.js";
import { systemClock } from "../lib/clock.js";
import {
  DRAIN_RECONNECT_MAX_MS,
  DRAIN_RECONNECT_MIN_MS,
  PEERS_TOLD_TOGETHER,
  REPLACED_WAIT_MS,
  REPLACEMENTS_BEFORE_ALARM,
  REPLACEMENT_WINDOW_MS,
} from "../lib/limits.js";
import type { Part } from "../lib/lifecycle.js";
import type { Log } from "../lib/log.js";
import { ServiceError } from "../lib/service-error.js";
import type { ControllerMetrics } from "../telemetry/controller-metrics.js";
import type { AgentLink } from "./agent-link.js";

/** What the router needs. */
export interface AgentRouterOptions {
  readonly log: Log;
  readonly metrics: Pick<ControllerMetrics, "agentsConnected" | "agentReplacements">;
  readonly clock?: Clock;
}

/** The live agents by host. */
export class AgentRouter implements Part {
  readonly #log: Log;
  readonly #metrics: AgentRouterOptions["metrics"];
  readonly #clock: Clock;
  readonly #links = new Map<string, AgentLink>();
  readonly #replacedAt = new Map<string, number[]>();
  readonly #listeners = new Set<(host: string) => void>();
  #peers: readonly Peer[] = [];
  #draining = false;

  constructor({ log, metrics, clock = systemClock }: AgentRouterOptions) {
    this.#log = log;
    this.#metrics = metrics;
    this.#clock = clock;
  }

  /** Nothing to start: agents come by themselves. */
  start(): void {
    this.#draining = false;
  }

  /** True from the moment the router stops: no agent is let in. */
  get isDraining(): boolean {
    return this.#draining;
  }

  /** Makes this the host's live stream. An older one is told to leave: REPLACED if it is another agent process. */
  add(link: AgentLink): void {
    const { host, processId } = link.identity;
    const older = this.#links.get(host);
    this.#links.set(host, link);
    this.#metrics.agentsConnected.set(this.#links.size);
    if (!older) return;
    const sameProcess = older.identity.processId === processId;
    if (!sameProcess) this.#noteReplacement(host);
    this.#dismiss(older, sameProcess ? DrainCause.DRAIN_CAUSE_STOPPING : DrainCause.DRAIN_CAUSE_REPLACED);
  }

  /** Forgets the stream if it still is the host's live one. Returns whether it was. */
  remove(link: AgentLink): boolean {
    const { host } = link.identity;
    if (this.#links.get(host) !== link) return false;
    this.#links.delete(host);
    this.#metrics.agentsConnected.set(this.#links.size);
    for (const listener of this.#listeners) listener(host);
    return true;
  }

  /** Calls back for each host that has lost its live stream, not for one whose stream was replaced. Returns the way to stop it. */
  onGone(listener: (host: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The host's live agent, or AGENT_UNAVAILABLE at once. */
  require(host: string): AgentLink {
    const link = this.#links.get(host);
    if (link?.isOpen === true) return link;
    const message = `no agent of host ${host} is connected; check spicegate-agent there`;
    throw new ServiceError("AGENT_UNAVAILABLE", message, { metadata: { host } });
  }

  /** True while the host's agent is connected here. */
  isConnected(host: string): boolean {
    return this.#links.has(host);
  }

  /**
   * Tells every agent which controllers live, a few hundred at a time, so that callers get their turn between them. A
   * second call tells the rest of them, and then all, the newer list.
   */
  async announce(peers: readonly Peer[]): Promise<void> {
    this.#peers = peers;
    let told = 0;
    for (const link of this.#links.values()) {
      link.announce(this.#peers);
      if (++told % PEERS_TOLD_TOGETHER === 0) await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Tells every agent to leave and waits until their answers are in. */
  async stop(): Promise<void> {
    this.#draining = true;
    const drain = {
      cause: DrainCause.DRAIN_CAUSE_STOPPING,
      reconnectAfterMinMs: DRAIN_RECONNECT_MIN_MS,
      reconnectAfterMaxMs: DRAIN_RECONNECT_MAX_MS,
    };
    await Promise.allSettled([...this.#links.values()].map((link) => link.drain(drain)));
  }

  #dismiss(link: AgentLink, cause: DrainCause): void {
    const waitMs = cause === DrainCause.DRAIN_CAUSE_REPLACED ? REPLACED_WAIT_MS : 0;
    link.drain({ cause, reconnectAfterMinMs: waitMs, reconnectAfterMaxMs: waitMs }).catch((error: unknown) => {
      this.#log.warn({ err: error, host: link.identity.host }, "a displaced agent could not be told");
    });
  }

  #noteReplacement(host: string): void {
    const now = this.#clock.now();
    const recent = (this.#replacedAt.get(host) ?? []).filter((at) => now - at < REPLACEMENT_WINDOW_MS);
    recent.push(now);
    this.#replacedAt.set(host, recent.slice(-REPLACEMENTS_BEFORE_ALARM - 1));
    this.#metrics.agentReplacements.inc();
    if (recent.length <= REPLACEMENTS_BEFORE_ALARM) {
      this.#log.info({ host }, "a newer agent process replaces the older one");
      return;
    }
    this.#log.warn({ host, replacements: recent.length }, "agents displace each other: do two hosts share this name?");
  }
}
