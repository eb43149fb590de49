// SPDX-License-Identifier: Apache-2.0
import type { Socket } from "node:net";
import { giveBack } from "../src/lib/big-reads.js";
import type { Clock } from "../src/lib/clock.js";
import { TUNNEL_LAST_BYTES_MS } from "../src/lib/limits.js";

/** Bytes in both directions. */
export interface Traffic {
  readonly toController: number;
  readonly toDisplay: number;
}

/**
 * A display joined to a controller's tunnel: the bytes of each go to the other, and who does not read holds the other
 * back. The end of one side ends both; what it said last is still delivered, for TUNNEL_LAST_BYTES_MS at most.
 */
export class DisplayTunnel {
  readonly #display: Socket;
  readonly #tunnel: Socket;
  readonly #clock: Clock;
  /** What the tunnel's socket had read of HTTP before the display's bytes began. */
  readonly #preamble: number;
  /** Resolves when both sides are closed. */
  readonly closed: Promise<void>;

  constructor(display: Socket, tunnel: Socket, clock: Clock) {
    this.#display = display;
    this.#tunnel = tunnel;
    this.#clock = clock;
    this.#preamble = tunnel.bytesRead - tunnel.readableLength;
    this.closed = Promise.all([this.#join(display, tunnel), this.#join(tunnel, display)]).then(() => undefined);
  }

  /** What each side has said so far. */
  get traffic(): Traffic {
    return { toController: this.#display.bytesRead, toDisplay: this.#tunnel.bytesRead - this.#preamble };
  }

  /** Closes both sides at once. */
  destroy(): void {
    this.#display.destroy();
    this.#tunnel.destroy();
  }

  /** Gives the bytes and the end of one to the other; resolves when the one is closed. */
  #join(from: Socket, to: Socket): Promise<void> {
    carry(from, to);
    from.once("end", () => from.destroy());
    return new Promise((resolve) => {
      const ended = (): void => {
        this.#finish(to);
        resolve();
      };
      if (from.closed) ended();
      else from.once("close", ended);
    });
  }

  #finish(socket: Socket): void {
    if (socket.destroyed) return;
    const cancel = this.#clock.after(TUNNEL_LAST_BYTES_MS, () => socket.destroy());
    socket.once("close", cancel);
    socket.destroySoon();
  }
}

/** As `pipe` does, but gives back what has been written. */
function carry(from: Socket, to: Socket): void {
  from.on("data", (bytes: Buffer) => {
    const takesMore = to.write(bytes, (error) => {
      if (!error) giveBack(bytes);
    });
    if (!takesMore) from.pause();
  });
  to.on("drain", () => from.resume());
}
