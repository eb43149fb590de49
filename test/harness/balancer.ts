// SPDX-License-Identifier: Apache-2.0
import type { Server, Socket } from "node:net";
import { connect, createServer } from "node:net";
import { freePort } from "../../demo/ports.js";
import { isReady } from "../../demo/spicegate-programs.js";
import { withDeadline } from "../../src/lib/deadline.js";

/** One server behind a balancer. */
export interface Backend {
  /** host:port of what it serves. */
  readonly address: string;
  /** host:port that says at /readyz whether it wants connections. */
  readonly telemetry: string;
}

/** Which of the servers that are ready gets a connection: the first in the list, or each in its turn. */
export type BalancerOrder = "first" | "next";

const CONNECT_MS = 2_000;

/**
 * A balancer of TCP connections, as stands in front of several controllers: a new connection goes to a server that is
 * ready and takes it, and stays there as long as both sides keep it. Where none is, it is ended.
 */
export class Balancer {
  readonly #order: BalancerOrder;
  readonly #port: number;
  readonly #sockets = new Set<Socket>();
  #backends: readonly Backend[] = [];
  #server: Server | undefined;
  #turn = 0;

  private constructor(port: number, order: BalancerOrder) {
    this.#port = port;
    this.#order = order;
  }

  /** A balancer with an address, but without servers. */
  static async create(order: BalancerOrder = "next"): Promise<Balancer> {
    return new Balancer(await freePort(), order);
  }

  /** Where clients connect; host:port. */
  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  /** Begins to take connections for these servers. */
  async start(backends: readonly Backend[]): Promise<void> {
    this.#backends = backends;
    const server = createServer({ pauseOnConnect: true }, (client) => void this.#serve(client));
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(this.#port, "127.0.0.1", resolve);
    });
    this.#server = server;
  }

  /** Ends every connection and takes no new one. Twice is harmless. */
  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    const closed = new Promise((resolve) => (server ? server.close(resolve) : resolve(undefined)));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  async #serve(client: Socket): Promise<void> {
    this.#keep(client);
    const server = await this.#connect();
    if (!server || client.destroyed || this.#server === undefined) {
      server?.destroy();
      client.destroy();
      return;
    }
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const) {
      one.once("close", () => other.destroy());
      one.pipe(other);
    }
  }

  async #connect(): Promise<Socket | undefined> {
    for (const { address, telemetry } of this.#inTurn()) {
      if (!(await isReady(telemetry))) continue;
      const socket = await this.#dial(address);
      if (socket) return socket;
    }
    return undefined;
  }

  #inTurn(): readonly Backend[] {
    if (this.#order === "first") return this.#backends;
    const at = this.#turn++ % this.#backends.length;
    return [...this.#backends.slice(at), ...this.#backends.slice(0, at)];
  }

  async #dial(address: string): Promise<Socket | undefined> {
    const { hostname, port } = new URL(`tcp://${address}`);
    const socket = connect(Number(port), hostname);
    this.#keep(socket);
    const connected = new Promise<boolean>((resolve) => {
      socket.once("connect", () => resolve(true));
      socket.once("close", () => resolve(false));
    });
    const expired = (): Error => new Error(`${address} does not answer`);
    if (await withDeadline({ ms: CONNECT_MS, expired }, () => connected).catch(() => false)) return socket;
    socket.destroy();
    return undefined;
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.setNoDelay(true).on("error", () => undefined);
    socket.once("close", () => this.#sockets.delete(socket));
  }
}
