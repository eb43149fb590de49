// SPDX-License-Identifier: Apache-2.0
import { connect } from "node:net";
import type { Socket } from "node:net";
import { requireAddress } from "../../src/lib/listen-address.js";
import { within } from "./within.js";

/** The request of an agent that brings a display. */
export function tunnelRequest(secret: string, path = "/tunnel", upgrade = "spicegate-tunnel"): string {
  const head = [`GET ${path} HTTP/1.1`, "Host: c", "Connection: Upgrade", `Upgrade: ${upgrade}`];
  return [...head, `X-Spicegate-Tunnel-Secret: ${secret}`, "", ""].join("\r\n");
}

/** A raw connection to a tunnel listener, and everything that came through it. */
export class TunnelClient {
  readonly socket: Socket;
  readonly closed: Promise<void>;
  #received = Buffer.alloc(0);
  readonly #wakers = new Set<() => void>();

  constructor(address: string) {
    this.socket = connect(requireAddress(address));
    // A reset is one way to be refused.
    this.socket.on("error", () => undefined);
    this.closed = new Promise((resolve) => this.socket.once("close", () => resolve()));
    this.socket.on("data", (bytes) => {
      this.#received = Buffer.concat([this.#received, bytes]);
      for (const wake of this.#wakers) wake();
    });
  }

  /** Everything so far, as text. */
  get text(): string {
    return this.#received.toString("latin1");
  }

  /** Sends the agent's request, with what may follow it at once. */
  request(secret: string, then = ""): this {
    this.socket.write(tunnelRequest(secret) + then);
    return this;
  }

  /** Waits until something has come. */
  async sees(text: string): Promise<void> {
    if (this.text.includes(text)) return;
    await within(
      `"${text}" through the tunnel`,
      new Promise<void>((resolve) => {
        this.#wakers.add(() => {
          if (this.text.includes(text)) resolve();
        });
      }),
    );
  }
}
