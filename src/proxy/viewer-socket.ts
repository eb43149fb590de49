// SPDX-License-Identifier: Apache-2.0
// One connection of a viewer from its first byte to its last: the pump between a WebSocket and a display. Whatever one
// side does not take is held back at the other, so that nothing but a bounded remainder ever waits here. Of sessions and
// the reasons why a display ends it knows nothing: it asks the channel.
import type { Duplex } from "node:stream";
import type { ServerOptions, WebSocket } from "ws";
import type { ChannelLink, ViewerChannel } from "../console/viewer.js";
import { giveBack } from "../lib/big-reads.js";
import type { Clock } from "../lib/clock.js";
import { systemClock } from "../lib/clock.js";
import {
  CLOSE_HANDSHAKE_MS,
  DISPLAY_BUFFER_BYTES,
  MAX_VIEWER_PIECES,
  MAX_VIEWER_MESSAGE_BYTES,
  VIEWER_BUFFER_BYTES,
  VIEWER_SPEAKS_MS,
} from "../lib/limits.js";
import type { Log } from "../lib/log.js";
import { ServiceError } from "../lib/service-error.js";
import { closingFromError, endReasonOf } from "../sessions/closing.js";
import type { ChannelEndReason, Closing } from "../sessions/session.js";
import { Pulse } from "./pulse.js";
import type { ViewerProtocol } from "./viewer-protocol.js";

const NOTHING = Buffer.alloc(0);
/** RFC 6455: data of a type that is not taken. */
const TEXT_REFUSED: Closing = { reason: "INVALID_ARGUMENT", code: 1003 };
const MESSAGE = { binary: true, compress: false } as const;

/** How the WebSocketServer of viewers is made: `runViewer` counts on it. */
export const VIEWER_WEBSOCKETS: ServerOptions & { readonly closeTimeout: number } = {
  noServer: true,
  clientTracking: false,
  perMessageDeflate: false,
  // Text is refused anyway.
  skipUTF8Validation: true,
  maxPayload: MAX_VIEWER_MESSAGE_BYTES,
  maxFragments: MAX_VIEWER_PIECES,
  maxBufferedChunks: MAX_VIEWER_PIECES,
  // What @types/ws does not know yet: after a close frame, ours or theirs, the connection is cut in this time.
  closeTimeout: CLOSE_HANDSHAKE_MS,
};

/** A connection to run, and what it is run with. */
export interface ViewerSocketOptions {
  /** Accepted in this very tick, so that nothing of it is missed, by a server made with VIEWER_WEBSOCKETS. */
  readonly webSocket: WebSocket;
  /** The connection under it, to see what waits there. */
  readonly socket: Duplex;
  readonly channel: ViewerChannel;
  /** A new one per connection: `new SpiceViewer(session)`. */
  readonly protocol: ViewerProtocol;
  readonly log: Log;
  readonly clock?: Clock;
}

/**
 * Runs a viewer's connection until it is gone: waits for its link, opens the display, carries the bytes both ways, and
 * ends both with a close code. Tells the channel everything, `closed` exactly once. It never rejects.
 */
export function runViewer(options: ViewerSocketOptions): Promise<void> {
  return new ViewerSocket(options).run();
}

type State =
  | "opening" // the viewer has not said yet what it wants
  | "connecting"
  | "open"
  | "cut" // the display has ended; why is being found out
  | "ending";

class ViewerSocket {
  readonly #options: ViewerSocketOptions;
  readonly #pulse: Pulse;
  readonly #cancelSpeaks: () => void;
  /** What the viewer says before the display is open. */
  readonly #early: Buffer[] = [];
  #earlyBytes = 0;
  #state: State = "opening";
  #display: Duplex | undefined;
  #endReason: ChannelEndReason = "VIEWER_LEFT";

  constructor(options: ViewerSocketOptions) {
    const { webSocket, clock = systemClock } = options;
    this.#options = options;
    this.#pulse = new Pulse({
      clock,
      ping: () => webSocket.ping(),
      isDeaf: () => webSocket.isPaused,
      silent: () => this.#giveUp(),
    });
    const mute = new ServiceError("INVALID_ARGUMENT", "the viewer did not say which channel it wants");
    this.#cancelSpeaks = clock.after(VIEWER_SPEAKS_MS, () => this.#fail(mute));
  }

  async run(): Promise<void> {
    const { webSocket, socket, channel } = this.#options;
    const gone = new Promise<void>((resolve) => webSocket.once("close", () => resolve()));
    webSocket.on("message", (message, isBinary) => this.#hear(message as Buffer, isBinary));
    webSocket.on("ping", () => this.#pulse.beat());
    webSocket.on("pong", () => this.#pulse.beat());
    // Against the rules of WebSocket: the code for that is on its way already.
    webSocket.on("error", (error) => this.#fail(new ServiceError("INVALID_ARGUMENT", error.message)));
    socket.on("drain", () => this.#viewerTakesMore());
    channel.onClosing((closing) => this.#end(closing));
    if (this.#state === "opening") this.#open(NOTHING);
    await gone;
    this.#leave("VIEWER_LEFT");
    this.#pulse.stop();
    channel.closed(this.#endReason);
  }

  #hear(message: Buffer, isBinary: boolean): void {
    this.#pulse.beat();
    if (this.#state === "cut" || this.#state === "ending") return;
    if (!isBinary) this.#end(TEXT_REFUSED);
    else if (this.#state === "opening") this.#open(message);
    else this.#pass(message);
  }

  #pass(message: Buffer): void {
    try {
      this.#toDisplay(this.#options.protocol.pass(message));
    } catch (error) {
      this.#fail(error);
    }
  }

  #open(bytes: Buffer): void {
    try {
      const opening = this.#options.protocol.open(bytes);
      if (!opening) return;
      this.#cancelSpeaks();
      this.#state = "connecting";
      this.#toDisplay(opening.bytes);
      void this.#connect(opening.link);
    } catch (error) {
      this.#fail(error);
    }
  }

  async #connect(link: ChannelLink): Promise<void> {
    try {
      const display = await this.#options.channel.connect(link);
      if (this.#state === "ending") display.destroy();
      else this.#carry(display);
    } catch (error) {
      this.#fail(error);
    }
  }

  #carry(display: Duplex): void {
    this.#state = "open";
    this.#display = display;
    display.on("data", (bytes: Buffer) => this.#toViewer(bytes));
    display.on("drain", () => this.#options.webSocket.resume());
    const ended = (): void => void this.#displayEnded();
    display.once("end", ended);
    display.once("close", ended);
    if (display.destroyed) return ended();
    this.#options.webSocket.resume();
    for (const message of this.#early.splice(0)) this.#toDisplay(message);
  }

  #toDisplay(message: Buffer): void {
    if (message.length === 0) return;
    if (this.#display) {
      const { channel, protocol } = this.#options;
      channel.toMachine(message.length, protocol.isInput(message));
      this.#display.write(message);
    } else {
      this.#early.push(message);
      this.#earlyBytes += message.length;
    }
    const waiting = this.#display ? this.#display.writableLength : this.#earlyBytes;
    // Only when it must be: a viewer that is not read is not seen to leave either.
    if (waiting > DISPLAY_BUFFER_BYTES) this.#options.webSocket.pause();
  }

  #toViewer(bytes: Buffer): void {
    const { channel, webSocket, socket } = this.#options;
    webSocket.send(bytes, MESSAGE, (error) => {
      if (!error) giveBack(bytes);
    });
    channel.toViewer(bytes.length);
    if (socket.writableLength > VIEWER_BUFFER_BYTES) this.#display?.pause();
  }

  /** What had piled up is taken, so somebody is there. */
  #viewerTakesMore(): void {
    this.#pulse.beat();
    this.#display?.resume();
  }

  async #displayEnded(): Promise<void> {
    if (this.#state !== "open") return;
    this.#state = "cut";
    this.#display?.destroy();
    // Were it held back, it could not be seen to leave.
    this.#options.webSocket.resume();
    try {
      this.#end(await this.#options.channel.whyDisplayEnded());
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    const closing = closingFromError(error);
    if (closing.reason === "INTERNAL") this.#options.log.error({ err: error }, "a viewer's channel failed");
    this.#end(closing);
  }

  /** Says goodbye. Only the first call counts; what the viewer still sends is dropped. */
  #end(closing: Closing): void {
    if (!this.#leave(endReasonOf(closing))) return;
    const { webSocket } = this.#options;
    webSocket.close(closing.code, closing.reason);
    // So that its goodbye is read.
    webSocket.resume();
  }

  /** Nobody is there to say goodbye to. */
  #giveUp(): void {
    this.#leave("VIEWER_SILENT");
    this.#options.webSocket.terminate();
  }

  /** Lets go of the display. Returns whether it is the first end, whose reason counts. */
  #leave(reason: ChannelEndReason): boolean {
    if (this.#state === "ending") return false;
    this.#state = "ending";
    this.#endReason = reason;
    this.#cancelSpeaks();
    this.#early.length = 0;
    this.#display?.destroy();
    return true;
  }
}
