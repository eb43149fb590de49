// SPDX-License-Identifier: Apache-2.0
import type { IncomingMessage, Server } from "node:http";
import { createServer } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { within } from "../harness/within.js";

/** What the server does with the next tunnels: takes them, refuses them, says nothing, or hangs up. */
export type TunnelAnswer = "take" | "refuse" | "nothing" | "hang up";

/** A tunnel as the controller sees it. */
export interface FakeTunnel {
  readonly method: string | undefined;
  readonly path: string | undefined;
  readonly headers: IncomingMessage["headers"];
  readonly socket: Socket;
}

/** A controller's tunnel listener on loopback that takes whatever comes, or fails as a test says. */
export class FakeTunnelServer {
  answer: TunnelAnswer = "take";
  /** Sent in one write with the answer, so that it arrives before the agent can listen. */
  firstBytes = "";
  /** Connections so far; those that are open now. */
  connections = 0;
  readonly open = new Set<Socket>();
  readonly #server: Server = createServer();
  readonly #tunnels: FakeTunnel[] = [];
  #waiting: ((tunnel: FakeTunnel) => void)[] = [];

  constructor() {
    this.#server.on("connection", (socket: Socket) => {
      this.connections += 1;
      this.open.add(socket);
      // A server's sockets stay half open by themselves, and a tunnel knows no such thing.
      socket.on("end", () => socket.destroy());
      socket.on("close", () => this.open.delete(socket));
      socket.on("error", () => undefined);
    });
    this.#server.on("upgrade", (request: IncomingMessage, socket: Socket) => this.#upgrade(request, socket));
  }

  /** Where it listens. */
  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async start(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
  }

  /** Drops every connection and no longer listens. */
  stop(): void {
    for (const socket of this.open) socket.destroy();
    this.#server.close();
  }

  /** The next tunnel that no test has taken yet. */
  next(): Promise<FakeTunnel> {
    const tunnel = this.#tunnels.shift();
    if (tunnel) return Promise.resolve(tunnel);
    return within("a tunnel", new Promise((resolve) => this.#waiting.push(resolve)));
  }

  #upgrade({ method, url: path, headers }: IncomingMessage, socket: Socket): void {
    if (this.answer === "refuse") socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    if (this.answer === "nothing") socket.resume();
    if (this.answer === "hang up") socket.destroy();
    if (this.answer === "take") {
      const head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: spicegate-tunnel\r\n\r\n";
      socket.write(head + this.firstBytes);
    }
    const tunnel = { method, path, headers, socket };
    const waiting = this.#waiting.shift();
    if (waiting) waiting(tunnel);
    else this.#tunnels.push(tunnel);
  }
}
