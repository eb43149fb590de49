// SPDX-License-Identifier: Apache-2.0
import type { Server, Socket } from "node:net";
import { connect, createServer } from "node:net";
import type { Part } from "../../src/lib/lifecycle.js";

/** A relay that remembers who came and what was said, both ways; without a target it hears and says nothing. */
export class WireTap implements Part {
  /** How many connections there were. */
  connections = 0;
  readonly #at: string;
  readonly #target: string | undefined;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #heard: Buffer[] = [];

  /** `at` and `target` are host:port. */
  constructor(at: string, target?: string) {
    this.#at = at;
    this.#target = target;
    this.#server = createServer((socket) => this.#take(socket));
  }

  start(): Promise<void> {
    const { hostname, port } = new URL(`tcp://${this.#at}`);
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(Number(port), hostname, resolve);
    });
  }

  /** Everything that was said, one byte a character. */
  heard(): string {
    return Buffer.concat(this.#heard).toString("latin1");
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #take(here: Socket): void {
    this.connections += 1;
    this.#listen(here);
    if (this.#target === undefined) return;
    const { hostname, port } = new URL(`tcp://${this.#target}`);
    const there = connect(Number(port), hostname);
    this.#listen(there);
    here.pipe(there).pipe(here);
    here.on("close", () => there.destroy());
    there.on("close", () => here.destroy());
  }

  #listen(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("data", (bytes: Buffer) => this.#heard.push(bytes));
    socket.on("error", () => socket.destroy());
    socket.on("close", () => this.#sockets.delete(socket));
  }
}
