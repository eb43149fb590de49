// SPDX-License-Identifier: Apache-2.0
// What the page uses of @spice-project/spice-html5, which is served unmodified beside it.

/** One channel of the library: one WebSocket. */
export interface SpiceChannel {
  /** The number of the SPICE channel type: 1 main, 2 display, 3 inputs, 4 cursor. */
  readonly type: number;
  /** "connecting", "start", "link", "ticket", "ready", "closing" or "error". */
  readonly state: string;
  /** Called for failures; without it a channel throws them at the window. */
  onerror?: ((error: unknown) => void) | undefined;
  /** Stops the connect timer and closes the WebSocket. */
  cleanup(): void;
}

/** The display channel's own lists; pictures that finish decoding late look into both. */
export interface SpiceDisplay extends SpiceChannel {
  surfaces?: unknown[] | undefined;
  streams?: unknown[] | undefined;
}

/** A message with the small header. */
export interface SpiceMessage {
  build_msg(type: number, body: object): void;
}

/** The inputs channel. */
export interface SpiceInputs extends SpiceChannel {
  send_msg(message: SpiceMessage): void;
}

/** How to connect. */
export interface SpiceOptions {
  readonly uri: string;
  /** The id of the element that the picture is put into. */
  readonly screen_id: string;
  readonly password: string;
  readonly onerror: (error: unknown) => void;
  readonly onsuccess: () => void;
}

/** A connection to a SPICE server: the main channel, which opens the others. */
export class SpiceMainConn implements SpiceChannel {
  constructor(options: SpiceOptions);
  readonly type: number;
  readonly state: string;
  readonly display?: SpiceDisplay | undefined;
  readonly inputs?: SpiceInputs | undefined;
  cleanup(): void;
  stop(): void;
}
