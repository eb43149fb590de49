// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import type { AddressInfo, Server, Socket } from "node:net";
import { connect, createServer } from "node:net";

/** A way to Postgres that can fall silent: connections stay, and nothing comes through any more. */
export class Relay {
  readonly #url: string;
  readonly #sockets: Socket[] = [];
  readonly #server: Server;
  #silent = false;

  /** To the server of this URL. */
  constructor(url: string) {
    const target = new URL(url);
    this.#url = url;
    this.#server = createServer((here) => {
      const there = connect(Number(target.port), target.hostname);
      this.#sockets.push(here, there);
      for (const socket of [here, there]) socket.on("error", () => socket.destroy());
      here.on("data", (bytes) => this.#silent || there.write(bytes));
      there.on("data", (bytes) => this.#silent || here.write(bytes));
    });
  }

  /** Returns the URL of the same database by this way. */
  async start(): Promise<string> {
    await once(this.#server.listen(0, "127.0.0.1"), "listening");
    const { port } = this.#server.address() as AddressInfo;
    return this.#url.replace(/:\d+\//, `:${port}/`);
  }

  /** What is said from now on is lost, in both directions. */
  set silent(silent: boolean) {
    this.#silent = silent;
  }

  /** Cuts everything. Twice is harmless. */
  stop(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}
