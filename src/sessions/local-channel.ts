// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/clock.js";
import type { ChannelCounts, OpenedChannel } from "./channel-store.js";
import { closingFor } from "./closing.js";
import type { ChannelEndReason, Closing, Session } from "./session.js";

/** The number of SPICE's main channel type. */
export const MAIN_CHANNEL = 1;

/** A channel that is open on this controller: what it has carried, and how it is told to close. */
export class LocalChannel {
  readonly channelId: bigint;
  readonly session: Session;
  /** The host that the instance was on when the channel was opened. */
  readonly host: string | undefined;
  /** Whether the session had a main channel somewhere when this one was opened. */
  readonly hadMain: boolean;
  readonly #clock: Clock;
  readonly #listeners = new Set<(closing: Closing) => void>();
  #type: number | undefined;
  #number: number | undefined;
  #bytesToMachine = 0;
  #bytesToViewer = 0;
  #uncountedToMachine = 0;
  #uncountedToViewer = 0;
  #lastInput: number | undefined;
  #changed = false;
  #needsAgent = true;
  #closing: Closing | undefined;

  constructor(opened: OpenedChannel, clock: Clock) {
    this.channelId = opened.channelId;
    this.session = opened.session;
    this.host = opened.currentHost;
    this.hadMain = opened.hasMain;
    this.#clock = clock;
  }

  /** The SPICE channel type, once the viewer has said it. */
  get type(): number | undefined {
    return this.#type;
  }

  /** True once the viewer is to be told why the channel closes. */
  get isClosing(): boolean {
    return this.#closing !== undefined;
  }

  /** True while it ends with its host's agent: until its display is open, and after that where the agent carries it. */
  get needsAgent(): boolean {
    return this.#needsAgent;
  }

  /** Its display is open and goes on without the agent. */
  outlivesAgent(): void {
    this.#needsAgent = false;
  }

  /** Notes which channel of the session it is. */
  identify(type: number, number: number): void {
    this.#type = type;
    this.#number = number;
    this.#changed = true;
  }

  /** Counts what went to the machine; `input` where a person did it. */
  toMachine(bytes: number, input: boolean): void {
    this.#bytesToMachine += bytes;
    this.#uncountedToMachine += bytes;
    if (input) this.#lastInput = this.#clock.now();
    this.#changed = true;
  }

  /** Counts what went to the viewer. */
  toViewer(bytes: number): void {
    this.#bytesToViewer += bytes;
    this.#uncountedToViewer += bytes;
    this.#changed = true;
  }

  /** What is known of it now. */
  counts(): ChannelCounts {
    return {
      channelId: this.channelId,
      sessionId: this.session.sessionId,
      type: this.#type,
      number: this.#number,
      bytesToMachine: this.#bytesToMachine,
      bytesToViewer: this.#bytesToViewer,
      idleMs: this.#lastInput === undefined ? undefined : this.#clock.now() - this.#lastInput,
    };
  }

  /** The bytes since the last call, for counters that only grow. */
  takeUncountedBytes(): { readonly toMachine: number; readonly toViewer: number } {
    const taken = { toMachine: this.#uncountedToMachine, toViewer: this.#uncountedToViewer };
    this.#uncountedToMachine = 0;
    this.#uncountedToViewer = 0;
    return taken;
  }

  /** Whether there is something to write since the last call. */
  takeChanged(): boolean {
    const changed = this.#changed;
    this.#changed = false;
    return changed;
  }

  /** What was taken could not be written. */
  markChanged(): void {
    this.#changed = true;
  }

  /** Tells whoever holds the channel to close it. Only the first reason counts. */
  close(reason: ChannelEndReason): void {
    if (this.#closing) return;
    const closing = closingFor(reason);
    this.#closing = closing;
    for (const listener of this.#listeners) listener(closing);
    this.#listeners.clear();
  }

  /** Calls back once when the channel is to close, at once where it is already. Returns the way to stop it. */
  onClosing(listener: (closing: Closing) => void): () => void {
    if (this.#closing) listener(this.#closing);
    else this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
