// SPDX-License-Identifier: Apache-2.0
import type { Drain, Peer } from "../proto/gen/spicegate/agent/v1/agent.js";
import { RefusalReason } from "../proto/gen/spicegate/agent/v1/agent.js";
import { Backoff } from "../src/lib/backoff.js";
import { pause } from "../src/lib/deadline.js";
import { MAX_RECONNECT_WAIT_MS, RECONNECT_BACKOFF, REPLACED_WAIT_MS } from "../src/lib/limits.js";
import type { Part } from "../src/lib/lifecycle.js";
import { Waiters } from "../src/lib/waiters.js";
import type { SessionContext, SessionEnd, SessionListener, SessionPhase } from "./control-session.js";
import { ControlSession } from "./control-session.js";
import { Dialler } from "./dial.js";

/** Where the stream to one controller stands. */
export type StreamState = "idle" | Exclude<SessionPhase, "ended"> | "waiting" | "standby" | "stopped";

/** What a stream needs. */
export interface ControllerStreamOptions {
  /** host:port of the controller's agent listener. */
  readonly address: string;
  readonly context: SessionContext;
  readonly onState: (state: StreamState) => void;
  readonly onWelcome: (controllerId: string) => void;
  readonly onPeers: (peers: readonly Peer[]) => void;
  /** An attempt has ended without a word of the controller. */
  readonly onUnreached: () => void;
  /** How long the first attempt is put off, in milliseconds. */
  readonly delayMs?: number;
  readonly backoff?: Backoff;
  /** Between 0 and 1; picks the moment within the window of a Drain. */
  readonly random?: () => number;
}

/** Where a stream stands that has not heard anything. */
const UNREACHED: readonly StreamState[] = ["connecting", "greeting"];

/**
 * Keeps one stream to one address: whenever it ends, another begins after a wait that depends on how it ended. Where
 * another address leads to the same controller, one of them stands by.
 */
export class ControllerStream implements Part {
  readonly #options: ControllerStreamOptions;
  readonly #dialler: Dialler;
  readonly #backoff: Backoff;
  readonly #stopping = new AbortController();
  readonly #turn = new Waiters();
  #state: StreamState = "idle";
  #standsBy = false;
  #session: ControlSession | undefined;
  #running: Promise<void> | undefined;
  #lastLogged = "";

  constructor(options: ControllerStreamOptions) {
    this.#options = options;
    this.#dialler = new Dialler(options.address, options.context.credentials);
    this.#backoff = options.backoff ?? new Backoff(RECONNECT_BACKOFF);
  }

  get state(): StreamState {
    return this.#state;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Tells the controller, finishes what is in flight, ends the stream. A second call waits for the first. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#session?.leave();
    this.#turn.wake();
    await this.#running;
    this.#dialler.close();
    this.#setState("stopped");
  }

  /** Ends the stream, where there is one, and makes no other until it is needed. Twice is harmless. */
  standBy(): void {
    this.#standsBy = true;
    this.#session?.leave();
  }

  /** Ends the standing by, soon and not at once: many agents may need their other address in the same instant. */
  takeOver(): void {
    this.#standsBy = false;
    this.#turn.wake();
  }

  async #run(): Promise<void> {
    const { delayMs = 0 } = this.#options;
    if (delayMs > 0) await this.#wait(delayMs);
    while (!this.#stopping.signal.aborted) {
      if (this.#standsBy) await this.#standing();
      else await this.#attempt();
    }
  }

  /** One session, and the wait after it. */
  async #attempt(): Promise<void> {
    const { context, onUnreached } = this.#options;
    this.#session = new ControlSession(this.#dialler.dial(), context, this.#listener());
    const end = await this.#session.run();
    this.#session = undefined;
    if (end.kind === "left" || this.#standsBy) return;
    const waitMs = Math.round(this.#waitAfter(end));
    this.#logEnd(end, waitMs);
    if (end.kind === "lost" && UNREACHED.includes(this.#state)) onUnreached();
    if (await this.#wait(waitMs)) context.metrics.reconnects.inc();
  }

  #listener(): SessionListener {
    const { onWelcome, onPeers } = this.#options;
    return { phase: (phase) => this.#onPhase(phase), welcomed: onWelcome, peers: onPeers };
  }

  async #standing(): Promise<void> {
    this.#setState("standby");
    await this.#turn.wait();
    await this.#wait(this.#backoff.next());
  }

  /** False, at once, when the stream is to stop. */
  #wait(ms: number): Promise<boolean> {
    this.#setState("waiting");
    return pause(ms, this.#stopping.signal, this.#options.context.clock);
  }

  #waitAfter(end: Exclude<SessionEnd, { kind: "left" }>): number {
    switch (end.kind) {
      case "lost":
        return this.#backoff.next();
      case "refused":
        // On top of the earliest time, so that refused agents do not come back all at once.
        return Math.min(end.refusal.retryAfterMs, MAX_RECONNECT_WAIT_MS) + this.#backoff.next();
      case "drained":
        return this.#waitWithin(end.drain);
      case "replaced":
        return REPLACED_WAIT_MS;
    }
  }

  #waitWithin({ reconnectAfterMinMs: min, reconnectAfterMaxMs: max }: Drain): number {
    if (max === 0) return Math.min(min, MAX_RECONNECT_WAIT_MS) + this.#backoff.next();
    const random = this.#options.random ?? Math.random;
    return Math.min(min + random() * Math.max(0, max - min), MAX_RECONNECT_WAIT_MS);
  }

  #onPhase(phase: SessionPhase): void {
    if (phase === "ended") return;
    if (phase === "open") {
      this.#backoff.reset();
      this.#lastLogged = "";
      this.#options.context.log.info({ controller: this.#options.address }, "connected to the controller");
    }
    this.#setState(phase);
  }

  #setState(state: StreamState): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#options.onState(state);
  }

  /** The same ending again and again is said once. */
  #logEnd(end: SessionEnd, waitMs: number): void {
    const text = describeEnd(end);
    const level = text === this.#lastLogged ? "debug" : "warn";
    this.#lastLogged = text;
    const { address, context } = this.#options;
    context.log[level]({ controller: address, detail: text, waitMs }, "not connected to the controller");
  }
}

function describeEnd(end: SessionEnd): string {
  switch (end.kind) {
    case "lost":
      return end.detail;
    case "refused":
      return `refused (${nameOfRefusal(end.refusal.reason)}): ${end.refusal.message}`;
    case "drained":
      return "the controller is stopping";
    case "replaced":
      return "another agent connected for this host: is agent.host the same on two machines?";
    case "left":
      return "the agent is stopping";
  }
}

function nameOfRefusal(reason: RefusalReason): string {
  const name = Object.entries(RefusalReason).find(([, value]) => value === reason)?.[0] ?? "UNSPECIFIED";
  return name.replace("REFUSAL_REASON_", "");
}
