// SPDX-License-Identifier: Apache-2.0
// One connection to a machine's display. The library decodes and paints; this knows when it is open, why it was lost,
// and how to be rid of all of it.
import { reasonOfClose } from "./close-reason.js";
import { type ChannelSocket, openOnly, watchSockets } from "./library-manners.js";
import { wireCode } from "./scan-codes.js";
import { Constants } from "./spice-html5/enums.js";
import { type SpiceChannel, type SpiceDisplay, SpiceMainConn } from "./spice-html5/main.js";
import { SpiceMiniData, SpiceMsgcKeyDown, SpiceMsgcKeyUp } from "./spice-html5/spicemsg.js";
import type { Reason } from "./words.js";

const CONNECT_DEADLINE_MS = 15_000;
const MAIN = 1;
const DISPLAY = 2;
const INPUTS = 3;
const CURSOR = 4;
const PLAYBACK = 5;

/** What to connect to. */
export interface DisplayTarget {
  readonly url: string;
  /** Names the element that gets the picture. */
  readonly screenId: string;
  /** Whether the machine is only looked at: then there are no inputs. */
  readonly viewOnly: boolean;
}

/** Who is told; each at most once, and neither after stop(). */
export interface SpiceConnectionListener {
  readonly onOpen: () => void;
  readonly onLost: (reason: Reason) => void;
}

/** A connection, from its construction until it is lost or stopped. */
export class SpiceConnection {
  readonly #listener: SpiceConnectionListener;
  readonly #sockets = new Set<ChannelSocket>();
  readonly #deadline: number;
  /** Aborted once it is open, or over. */
  readonly #opening = new AbortController();
  readonly #main: SpiceMainConn;
  readonly #viewOnly: boolean;
  /** A console without one of these is none. Sound and the like may come and go. */
  readonly #essentialTypes: readonly number[];
  #over = false;

  /** Connects at once. */
  constructor({ url, screenId, viewOnly }: DisplayTarget, listener: SpiceConnectionListener) {
    this.#listener = listener;
    this.#viewOnly = viewOnly;
    this.#essentialTypes = viewOnly ? [MAIN, DISPLAY] : [MAIN, DISPLAY, INPUTS];
    openOnly(viewOnly ? [DISPLAY, CURSOR, PLAYBACK] : undefined);
    watchSockets((socket) => {
      this.#watch(socket);
    });
    this.#deadline = window.setTimeout(() => {
      this.#lost("CONNECT_TIMEOUT");
    }, CONNECT_DEADLINE_MS);
    this.#main = new SpiceMainConn({
      uri: url,
      screen_id: screenId,
      password: "",
      onerror: () => {
        this.#failed(this.#main);
      },
      onsuccess: () => {
        this.#look();
      },
    });
  }

  /** Sends one key's press or release; lost before it is open. */
  sendKey(scan: number, down: boolean): void {
    const inputs = this.#main.inputs;
    if (inputs?.state !== "ready") return;
    const key = down ? new SpiceMsgcKeyDown() : new SpiceMsgcKeyUp();
    key.code = wireCode(scan, down);
    const message = new SpiceMiniData();
    message.build_msg(down ? Constants.SPICE_MSGC_INPUTS_KEY_DOWN : Constants.SPICE_MSGC_INPUTS_KEY_UP, key);
    inputs.send_msg(message);
  }

  /** Closes every channel and takes the picture away. A second call does nothing. */
  stop(): void {
    if (this.#over) return;
    this.#over = true;
    this.#opening.abort();
    window.clearTimeout(this.#deadline);
    const display = this.#main.display;
    this.#main.stop();
    if (display !== undefined) tolerateLatePictures(display);
    for (const socket of this.#sockets) {
      socket.parent?.cleanup();
      socket.close();
    }
  }

  #watch(socket: ChannelSocket): void {
    this.#sockets.add(socket);
    const look = (): void => {
      // Behind the library's own listener.
      window.setTimeout(() => {
        this.#look();
      });
    };
    socket.addEventListener("message", look, { signal: this.#opening.signal });
    socket.addEventListener("close", (event) => {
      if (this.#isEssential(socket)) this.#lost(reasonOfClose(event.code, event.reason));
    });
    // The library names the channel only after the socket is made.
    queueMicrotask(() => {
      this.#adopt(socket.parent);
    });
  }

  /** A channel without an error listener throws its failures at the window. */
  #adopt(channel: SpiceChannel | undefined): void {
    if (channel === undefined) return;
    channel.onerror ??= () => {
      this.#failed(channel);
    };
    if (channel.type === DISPLAY) tolerateLatePictures(channel);
  }

  /** Closes are told by the sockets; what is left are servers that do not speak as they should. */
  #failed(channel: SpiceChannel): void {
    if (channel.state === "error" && this.#essentialTypes.includes(channel.type)) this.#lost("PROTOCOL");
  }

  /** Open is what shows the screen and takes keys: the library says so of the main channel alone, which is there first. */
  #look(): void {
    const { display, inputs } = this.#main;
    if (this.#opening.signal.aborted || display?.state !== "ready") return;
    if (!this.#viewOnly && inputs?.state !== "ready") return;
    this.#opening.abort();
    window.clearTimeout(this.#deadline);
    this.#listener.onOpen();
  }

  #lost(reason: Reason): void {
    if (this.#over) return;
    this.#listener.onLost(reason);
    this.stop();
  }

  #isEssential({ parent }: ChannelSocket): boolean {
    return parent === undefined || this.#essentialTypes.includes(parent.type);
  }
}

/** A picture that is decoded before the first video, or after the end, looks into lists that the library has not made. */
function tolerateLatePictures(display: SpiceDisplay): void {
  display.surfaces ??= [];
  display.streams ??= [];
}
