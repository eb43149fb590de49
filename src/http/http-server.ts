// SPDX-License-Identifier: Apache-2.0
import type { FastifyInstance } from "fastify";
import type { IncomingMessage, RequestListener, Server } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { waitAtMost } from "../lib/deadline.js";
import type { Part } from "../lib/lifecycle.js";
import { connectionsOf, listen, portOf } from "../lib/listen.js";
import { HTTP_KEEP_ALIVE_MS, HTTP_REQUEST_MS, MAX_REQUEST_MS } from "../lib/limits.js";
import type { Address } from "../lib/listen-address.js";
import type { Log } from "../lib/log.js";
import type { ServerTls } from "../lib/tls-server.js";
import { createHttpApp } from "./http-app.js";
import { createHttpListener } from "./http-listener.js";
import type { ProblemBody } from "./http-problem.js";
import type { HttpRequests } from "./http-requests.js";
import type { Route } from "./routes.js";

/** Who answers upgrades. Without one they are answered like any other request. */
export interface Upgrades {
  handle(request: IncomingMessage, socket: Duplex, head: Buffer): void;
}

/** What a server is made from. */
export interface HttpServerOptions {
  /** For people: "proxy". */
  readonly name: string;
  readonly listen: Address;
  /** Asked for at the start: what they need may be missing. */
  readonly routes: () => readonly Route[];
  readonly requests: HttpRequests;
  readonly problemBody: ProblemBody;
  /** Of every response, in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly maxBodyBytes: number;
  readonly upgrades?: Upgrades;
  /** Undefined: it speaks in the clear. */
  readonly tls?: ServerTls | undefined;
  readonly log: Log;
  /** From a request's first byte to its last, if not as usual; milliseconds. */
  readonly requestMs?: number | undefined;
  /** How long requests may still run once it stops, if not as usual; milliseconds. */
  readonly finishMs?: number | undefined;
}

/**
 * An entrance over HTTP/1.1. Stop takes nothing new, lets requests that run finish, and cuts whatever is left: it always
 * ends.
 */
export class HttpServer implements Part {
  readonly #options: HttpServerOptions;
  #server: Server | undefined;
  #connections: ReadonlySet<Socket> = new Set();
  #app: FastifyInstance | undefined;
  #stopping: Promise<void> | undefined;

  constructor(options: HttpServerOptions) {
    this.#options = options;
  }

  /** The port it listens on, of use where the setting was 0. */
  get port(): number {
    return portOf(this.#server);
  }

  /** True from the first call of stop on. */
  get stopping(): boolean {
    return this.#stopping !== undefined;
  }

  async start(): Promise<void> {
    const { name, listen: at, routes, log, upgrades } = this.#options;
    const createServer = (answer: RequestListener): Server => this.#createServer(answer);
    this.#app = createHttpApp({ ...this.#options, routes: routes(), createServer });
    await this.#app.ready();
    const server = this.#app.server;
    this.#server = server;
    this.#connections = connectionsOf(server);
    if (upgrades) server.on("upgrade", (request, socket, head) => upgrades.handle(request, socket, head));
    await listen(server, { name, at, log });
  }

  /** A second call waits for the first. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    const server = this.#server;
    if (!server?.listening) return;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    await this.#answerTheRest();
    // The server waits for them, but no longer knows those that were upgraded, nor yet those amid their handshake.
    for (const socket of this.#connections) socket.destroy();
    await closed;
    await this.#app?.close();
  }

  /** What they have done is done: whoever asked should hear of it. */
  async #answerTheRest(): Promise<void> {
    const { finishMs = MAX_REQUEST_MS, name, requests, log } = this.#options;
    const expired = (): Error => new Error(`requests still run after ${finishMs} ms`);
    try {
      await waitAtMost({ ms: finishMs, expired }, () => requests.idle());
    } catch (error) {
      log.warn({ err: error }, `${name} cuts requests`);
    }
  }

  #createServer(answer: RequestListener): Server {
    const { requests, headers, problemBody, tls, requestMs = HTTP_REQUEST_MS } = this.#options;
    const options = { headers, problemBody, requestMs, keepAliveMs: HTTP_KEEP_ALIVE_MS, tls };
    return createHttpListener(options, (request, response) => {
      const known = requests.of(request);
      for (const [name, id] of Object.entries(requests.idHeaders(known))) response.setHeader(name, id);
      response.once("close", () => {
        if (!response.writableFinished) known.leave();
        requests.finished(known, response.writableFinished ? response.statusCode : undefined);
      });
      answer(request, response);
    });
  }
}
