// SPDX-License-Identifier: Apache-2.0
import { channelUrl } from "./address.js";
import { endSession, redeem, type SessionStatus, sessionStatus } from "./api.js";
import { type ConsoleEvent, type ConsoleState, isOver, isTrying, next } from "./console-state.js";
import { reconnectWait } from "./reconnect-waits.js";
import { PICTURE_ID } from "./screen.js";
import { SessionWatch } from "./session-watch.js";
import { SpiceConnection } from "./spice-connection.js";
import type { Reason } from "./words.js";

/** A connection that has held for so long is a good one: the next wait starts small. */
const STEADY_MS = 10_000;
const TICK_MS = 250;
const NO_TOKEN = { ok: false, reason: "NO_TOKEN" } as const;

/** Who shows what the console does. */
export interface ConsoleListener {
  readonly onState: (state: ConsoleState) => void;
  /** Before the picture of a lost connection goes. */
  readonly onPictureGoes: () => void;
  readonly onStatus: (status: SessionStatus) => void;
  /** What is left of the session, in milliseconds; undefined without a limit. */
  readonly onTimeLeft: (ms: number | undefined) => void;
  /** What is left without input, in milliseconds; undefined while there is no need to warn. */
  readonly onIdleTimeLeft: (ms: number | undefined) => void;
  /** Whole seconds until the next attempt. */
  readonly onCountDown: (seconds: number) => void;
}

/** Where a console starts: with a token to redeem (undefined where the address has none), or at a session. */
export type ConsoleStart = { readonly token: string | undefined } | { readonly path: string };

type OpenSession = Extract<SessionStatus, { readonly state: "open" }>;

/** Does what the state machine asks for: redeems, joins, watches, waits, and ends. */
export class Console {
  readonly #listener: ConsoleListener;
  #token: string | undefined;
  #path: string | undefined;
  #state: ConsoleState = { name: "connecting" };
  #connection: SpiceConnection | undefined;
  #watch: SessionWatch | undefined;
  /** Aborts whatever the current state has under way: an attempt, a wait, a timer. */
  #current = new AbortController();
  /** Whether the session was opened by this page's token just now, so that a missing cookie has one explanation only. */
  #justRedeemed = false;
  #ending = false;
  #viewOnly = false;

  constructor(start: ConsoleStart, listener: ConsoleListener) {
    if ("token" in start) this.#token = start.token;
    else this.#path = start.path;
    this.#listener = listener;
  }

  /** Begins to connect. Call once. */
  start(): void {
    this.#enter();
  }

  /** Leaves the display without ending the session: the page is going. After resume() it connects again. */
  suspend(): void {
    this.#current.abort();
    this.#leaveDisplay();
  }

  /** The page has come back from the browser's memory. */
  resume(): void {
    if (isOver(this.#state)) return;
    this.#state = { name: "connecting" };
    this.#enter();
  }

  /** Connects now: the wait is cut short, or the person asks for another attempt. */
  tryNow(): void {
    this.#happened({ type: "try" });
  }

  /** Sends one key, by its scan code, if there is a display to take it. */
  sendKey(scan: number, down: boolean): void {
    this.#connection?.sendKey(scan, down);
    this.noteInput();
  }

  /** The person has done something in the machine: the session is not idle. */
  noteInput(): void {
    if (!this.#viewOnly) this.#watch?.noteInput();
  }

  /** Ends the session for good. False where the server could not be told; then it goes on. */
  async end(): Promise<boolean> {
    if (this.#path === undefined) return false;
    this.#ending = true;
    const ended = await endSession(this.#path);
    this.#ending = ended;
    if (ended) this.#happened({ type: "ended", reason: "ENDED_BY_YOU" });
    return ended;
  }

  #happened(event: ConsoleEvent): void {
    const before = this.#state;
    this.#state = next(before, event);
    if (this.#state === before) return;
    // Steadiness is nothing to see, and nothing to do.
    if (this.#state.name !== "connected" || before.name !== "connected") this.#enter();
  }

  #enter(): void {
    this.#current.abort();
    this.#current = new AbortController();
    const { signal } = this.#current;
    if (this.#state.name !== "connected") this.#leaveDisplay();
    this.#listener.onState(this.#state);
    if (isTrying(this.#state)) void this.#attempt(signal);
    else if (this.#state.name === "reconnecting") this.#wait(this.#state.attempt, signal);
    else if (this.#state.name === "connected") later(STEADY_MS, signal, () => this.#happened({ type: "steady" }));
  }

  #leaveDisplay(): void {
    this.#watch?.stop();
    if (this.#connection === undefined) return;
    this.#listener.onPictureGoes();
    this.#connection.stop();
    this.#connection = undefined;
  }

  async #attempt(signal: AbortSignal): Promise<void> {
    const path = this.#path ?? (await this.#redeem(signal));
    if (path === undefined) return;
    const status = await sessionStatus(path, signal);
    if (signal.aborted) return;
    if (status.state === "open") this.#connect(path, status);
    else if (status.state === "ended") this.#happened({ type: "ended", reason: status.reason });
    else this.#happened({ type: "failed", reason: this.#explain(status.reason) });
  }

  async #redeem(signal: AbortSignal): Promise<string | undefined> {
    const answer = this.#token === undefined ? NO_TOKEN : await redeem(this.#token, signal);
    if (signal.aborted) return undefined;
    if (!answer.ok) {
      this.#happened({ type: "refused", reason: answer.reason });
      return undefined;
    }
    this.#token = undefined;
    this.#path = answer.value.path;
    this.#justRedeemed = true;
    history.replaceState(null, "", this.#path);
    return this.#path;
  }

  #connect(path: string, status: OpenSession): void {
    this.#justRedeemed = false;
    this.#viewOnly = status.viewOnly;
    this.#listener.onStatus(status);
    const display = { url: channelUrl(location.origin, path), screenId: PICTURE_ID, viewOnly: status.viewOnly };
    this.#connection = new SpiceConnection(display, {
      onOpen: () => {
        this.#happened({ type: "opened" });
        this.#startWatch(path, status);
      },
      onLost: (reason) => this.#happened({ type: "failed", reason: this.#explain(reason) }),
    });
  }

  #startWatch(path: string, status: SessionStatus): void {
    this.#watch = new SessionWatch(path, {
      onStatus: (answer) => {
        if (answer.state === "open") this.#listener.onStatus(answer);
        else if (answer.state === "ended") this.#happened({ type: "ended", reason: this.#explain(answer.reason) });
      },
      onTimeLeft: this.#listener.onTimeLeft,
      onIdleTimeLeft: this.#listener.onIdleTimeLeft,
    });
    this.#watch.start(status);
  }

  #wait(attempt: number, signal: AbortSignal): void {
    const until = performance.now() + reconnectWait(attempt);
    const tick = (): void => {
      const left = until - performance.now();
      if (left <= 0) {
        this.tryNow();
        return;
      }
      this.#listener.onCountDown(Math.ceil(left / 1000));
      later(Math.min(left, TICK_MS), signal, tick);
    };
    tick();
    window.addEventListener("online", () => this.tryNow(), { signal });
  }

  /** What the server's word means here, where this page knows more than the server. */
  #explain(reason: Reason): Reason {
    if (reason === "TERMINATED" && this.#ending) return "ENDED_BY_YOU";
    if (reason === "SESSION_NOT_FOUND" && this.#justRedeemed) return "COOKIES_REFUSED";
    return reason;
  }
}

function later(ms: number, signal: AbortSignal, run: () => void): void {
  const timer = window.setTimeout(run, ms);
  signal.addEventListener("abort", () => window.clearTimeout(timer));
}
