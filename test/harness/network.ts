// SPDX-License-Identifier: Apache-2.0
import type { Server, Socket } from "node:net";
import { connect, createServer } from "node:net";

/** The network between a viewer and the proxy, as far as a test can cut it. */
export class Network {
  readonly #port: number;
  readonly #target: URL;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;

  /** `target` is the proxy's host:port. */
  constructor(port: number, target: string) {
    this.#port = port;
    this.#target = new URL(`tcp://${target}`);
  }

  /** Where viewers connect. */
  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  /** Connects both sides again. */
  async mend(): Promise<void> {
    const server = createServer((here) => {
      const there = connect(Number(this.#target.port), this.#target.hostname);
      for (const [one, other] of [
        [here, there],
        [there, here],
      ] as const) {
        this.#sockets.add(one);
        one.on("error", () => other.destroy());
        one.on("close", () => {
          this.#sockets.delete(one);
          other.destroy();
        });
        one.pipe(other);
      }
    });
    await new Promise<void>((resolve) => server.listen(this.#port, "127.0.0.1", resolve));
    this.#server = server;
  }

  /** Ends every connection and takes no new one. Twice is harmless. */
  async cut(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    const closed = new Promise((resolve) => (server ? server.close(resolve) : resolve(undefined)));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}
