// SPDX-License-Identifier: Apache-2.0
import type { Duplex } from "node:stream";
import type { ChannelLink, ViewerChannel } from "../../src/console/viewer.js";
import type { ChannelEndReason, Closing, Session } from "../../src/sessions/session.js";

const SESSION: Session = {
  sessionId: "s",
  instanceUuid: "6f1e5d0a-0000-4000-8000-000000000001",
  instanceName: "demo",
  projectId: "p",
  host: "h",
  consoleType: "spice-html5",
  subject: "someone",
  clientAddress: "127.0.0.1",
  openedAt: new Date(0),
  lastInputAt: undefined,
  expiresAt: undefined,
  endedAt: undefined,
  endReason: undefined,
  endedBy: "",
  openChannels: 1,
  viewOnly: false,
};

/** A channel that remembers what it was told, and whose answers a test sets. */
export class FakeViewerChannel implements ViewerChannel {
  readonly channelId = 1n;
  readonly session = SESSION;
  /** How the display is opened. */
  opens: (link: ChannelLink) => Promise<Duplex>;
  /** Why it ended. */
  why: () => Promise<Closing> = () => Promise.resolve({ reason: "DISPLAY_CLOSED", code: 1000 });
  readonly links: ChannelLink[] = [];
  readonly ends: ChannelEndReason[] = [];
  bytesToMachine = 0;
  bytesToViewer = 0;
  inputs = 0;
  #onClosing: ((closing: Closing) => void) | undefined;
  #closing: Closing | undefined;

  constructor(opens: (link: ChannelLink) => Promise<Duplex>) {
    this.opens = opens;
  }

  onClosing(listener: (closing: Closing) => void): void {
    this.#onClosing = listener;
    if (this.#closing) listener(this.#closing);
  }

  /** The session closes the channel; also before anybody listens. */
  close(closing: Closing): void {
    this.#closing = closing;
    this.#onClosing?.(closing);
  }

  connect(link: ChannelLink): Promise<Duplex> {
    this.links.push(link);
    return this.opens(link);
  }

  toMachine(bytes: number, input: boolean): void {
    this.bytesToMachine += bytes;
    if (input) this.inputs += 1;
  }

  toViewer(bytes: number): void {
    this.bytesToViewer += bytes;
  }

  whyDisplayEnded(): Promise<Closing> {
    return this.why();
  }

  closed(reason: ChannelEndReason): void {
    this.ends.push(reason);
  }
}
