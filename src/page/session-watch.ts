// SPDX-License-Identifier: Apache-2.0
import { type SessionStatus, sessionStatus } from "./api.js";
import { IdleCountdown } from "./idle-countdown.js";

const ASK_EVERY_MS = 5_000;
const TICK_MS = 1_000;
const DEADLINE_MS = 5_000;

/** Who is told of a session. */
export interface SessionWatchListener {
  /** What the server has answered. */
  readonly onStatus: (status: SessionStatus) => void;
  /** Every second: what is left of the session, in milliseconds; undefined without a limit. */
  readonly onTimeLeft: (ms: number | undefined) => void;
  /**
   * Every second, and at once when somebody types: what is left without input, in milliseconds; undefined while there is
   * no need to warn.
   */
  readonly onIdleTimeLeft: (ms: number | undefined) => void;
}

/** Asks how a session stands for as long as it is connected. A question that fails is asked again; the channels decide. */
export class SessionWatch {
  readonly #path: string;
  readonly #listener: SessionWatchListener;
  #stopped: AbortController | undefined;
  readonly #idle = new IdleCountdown();
  #endsAt: number | undefined;

  constructor(path: string, listener: SessionWatchListener) {
    this.#path = path;
    this.#listener = listener;
  }

  /** Takes over the answer that was asked for before connecting, and asks from then on. */
  start(status: SessionStatus): void {
    this.stop();
    const stopped = new AbortController();
    this.#stopped = stopped;
    this.#tell(status);
    const timers = [
      window.setInterval(() => void this.#ask(stopped.signal), ASK_EVERY_MS),
      window.setInterval(() => this.#tick(), TICK_MS),
    ];
    stopped.signal.addEventListener("abort", () => timers.forEach((timer) => window.clearInterval(timer)));
  }

  /** Asks no more. A second call does nothing. */
  stop(): void {
    this.#stopped?.abort();
    this.#stopped = undefined;
  }

  /** Somebody has typed or clicked. */
  noteInput(): void {
    if (this.#idle.noteInput(performance.now())) this.#tick();
  }

  async #ask(stopped: AbortSignal): Promise<void> {
    const status = await sessionStatus(this.#path, AbortSignal.any([stopped, AbortSignal.timeout(DEADLINE_MS)]));
    if (!stopped.aborted) this.#tell(status);
  }

  #tell(status: SessionStatus): void {
    if (status.state === "open") {
      this.#endsAt = status.expiresInMs === undefined ? undefined : performance.now() + status.expiresInMs;
      this.#idle.set(status.idle, performance.now());
    }
    this.#listener.onStatus(status);
    this.#tick();
  }

  #tick(): void {
    const left = this.#endsAt === undefined ? undefined : Math.max(0, this.#endsAt - performance.now());
    this.#listener.onTimeLeft(left);
    this.#listener.onIdleTimeLeft(this.#idle.warning(performance.now()));
  }
}
