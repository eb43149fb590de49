// SPDX-License-Identifier: Apache-2.0
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerOptions, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Registry } from "prom-client";
import { TELEMETRY_REQUEST_MS } from "../lib/limits.js";
import type { Part } from "../lib/lifecycle.js";
import { closeNow, connectionsOf, listen, portOf } from "../lib/listen.js";
import type { Address } from "../lib/listen-address.js";
import type { Log } from "../lib/log.js";
import type { ServerTls } from "../lib/tls-server.js";
import { createTlsHttpServer } from "../lib/tls-server.js";
import type { Readiness } from "./readiness.js";

/** What the telemetry endpoint shows. */
export interface TelemetryOptions {
  readonly listen: Address;
  /** Undefined: it speaks in the clear. */
  readonly tls?: ServerTls | undefined;
  readonly registry: Registry;
  readonly readiness: Readiness;
  readonly log: Log;
}

const HTTP: ServerOptions = {
  requestTimeout: TELEMETRY_REQUEST_MS,
  headersTimeout: TELEMETRY_REQUEST_MS,
  // Node looks for requests that are late only now and then, by default twice a minute.
  connectionsCheckingInterval: TELEMETRY_REQUEST_MS / 5,
};

/**
 * Serves GET /metrics (Prometheus text), /healthz (200 while the process runs) and /readyz (200 or 503, with every
 * condition as JSON). It starts before everything else and stops last, so that a start or stop that hangs can be seen.
 */
export class TelemetryServer implements Part {
  readonly #options: TelemetryOptions;
  #server: Server | undefined;
  #connections: ReadonlySet<Socket> = new Set();

  constructor(options: TelemetryOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const { listen: at, tls, log } = this.#options;
    const server = tls ? createTlsHttpServer(HTTP, tls) : createServer(HTTP);
    server.on("request", (request, response) => this.#answer(request, response));
    this.#server = server;
    this.#connections = connectionsOf(server);
    await listen(server, { name: "telemetry", at, log });
  }

  /** The port it listens on, of use where the setting was 0. */
  get port(): number {
    return portOf(this.#server);
  }

  async stop(): Promise<void> {
    if (this.#server) await closeNow(this.#server, this.#connections);
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    if (request.method !== "GET" && request.method !== "HEAD") return send(response, 405, "method not allowed\n");
    switch (request.url?.split("?", 1)[0]) {
      case "/healthz":
        return send(response, 200, "ok\n");
      case "/readyz":
        return this.#answerReady(response);
      case "/metrics":
        return void this.#answerMetrics(response);
      default:
        return send(response, 404, "there is /metrics, /healthz and /readyz\n");
    }
  }

  #answerReady(response: ServerResponse): void {
    const { readiness } = this.#options;
    const ready = readiness.isReady();
    const body = JSON.stringify({ ready, conditions: readiness.conditions() });
    send(response, ready ? 200 : 503, `${body}\n`, "application/json");
  }

  async #answerMetrics(response: ServerResponse): Promise<void> {
    const { registry, log } = this.#options;
    try {
      send(response, 200, await registry.metrics(), registry.contentType);
    } catch (error) {
      log.error({ err: error }, "metrics could not be collected");
      send(response, 500, "metrics could not be collected\n");
    }
  }
}

function send(response: ServerResponse, status: number, body: string, type = "text/plain; charset=utf-8"): void {
  response.writeHead(status, { "content-type": type, "cache-control": "no-store" }).end(body);
}
