// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/clock.js";
import { VIEWER_PING_MS, VIEWER_SILENT_MS } from "../lib/limits.js";

/** What is done about a peer that may be gone. */
export interface PulseOptions {
  readonly clock: Clock;
  /** Asks for a sign of life. */
  readonly ping: () => void;
  /** True while the peer cannot be heard, since nothing of it is read: its silence says nothing then. */
  readonly isDeaf: () => boolean;
  /** There was none for VIEWER_SILENT_MS. Called once, at most VIEWER_PING_MS later. */
  readonly silent: () => void;
}

/** Watches for a peer's signs of life, from the moment it is made until it is stopped. */
export class Pulse {
  readonly #options: PulseOptions;
  #lastSign: number;
  #cancel: () => void;

  constructor(options: PulseOptions) {
    this.#options = options;
    this.#lastSign = options.clock.now();
    this.#cancel = this.#lookLater();
  }

  /** A sign of life. */
  beat(): void {
    this.#lastSign = this.#options.clock.now();
  }

  /** Stops watching. A second call does nothing. */
  stop(): void {
    this.#cancel();
  }

  #lookLater(): () => void {
    return this.#options.clock.after(VIEWER_PING_MS, () => this.#look());
  }

  #look(): void {
    const { clock, ping, isDeaf, silent } = this.#options;
    if (isDeaf()) this.beat();
    if (clock.now() - this.#lastSign >= VIEWER_SILENT_MS) return silent();
    this.#cancel = this.#lookLater();
    ping();
  }
}
