// SPDX-License-Identifier: Apache-2.0
import type { Drain } from "../proto/gen/spicegate/agent/v1/agent.js";
import { RefusalReason } from "../proto/gen/spicegate/agent/v1/agent.js";
import { Backoff } from "../src/lib/backoff.js";
import { pause } from "../src/lib/deadline.js";
import { MAX_RECONNECT_WAIT_MS, RECONNECT_BACKOFF, REPLACED_WAIT_MS } from "../src/lib/limits.js";
import type { Part } from "../src/lib/lifecycle.js";
import type { SessionContext, SessionEnd, SessionPhase } from "./control-session.js";
import { ControlSession } from "./control-session.js";
import { Dialler } from "./dial.js";

/** Where the stream to one controller stands. */
export type StreamState = "idle" | Exclude<SessionPhase, "ended"> | "waiting" | "stopped";

/** What a stream needs. */
export interface ControllerStreamOptions {
  /** host:port of the controller's agent listener. */
  readonly address: string;
  readonly context: SessionContext;
  readonly onState: (state: StreamState) => void;
  readonly backoff?: Backoff;
  /** Between 0 and 1; picks the moment within the window of a Drain. */
  readonly random?: () => number;
}

/** Keeps one stream to one controller: whenever it ends, another begins after a wait that depends on how it ended. */
export class ControllerStream implements Part {
  readonly #options: ControllerStreamOptions;
  readonly #dialler: Dialler;
  readonly #backoff: Backoff;
  readonly #stopping = new AbortController();
  #state: StreamState = "idle";
  #session: ControlSession | undefined;
  #running: Promise<void> | undefined;
  #lastLogged = "";

  constructor(options: ControllerStreamOptions) {
    this.#options = options;
    this.#dialler = new Dialler(options.address);
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
    await this.#running;
    this.#dialler.close();
    this.#setState("stopped");
  }

  async #run(): Promise<void> {
    const { context } = this.#options;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      this.#session = new ControlSession(this.#dialler.dial(), context, (phase) => this.#onPhase(phase));
      const end = await this.#session.run();
      this.#session = undefined;
      if (end.kind === "left") return;
      const waitMs = Math.round(this.#waitAfter(end));
      this.#logEnd(end, waitMs);
      this.#setState("waiting");
      if (await pause(waitMs, signal, context.clock)) context.metrics.reconnects.inc();
    }
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
