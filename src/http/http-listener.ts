// SPDX-License-Identifier: Apache-2.0
// The HTTP server that fastify answers through. What is below a request is decided here: time-outs, bounds, the headers
// of every response, and what to say to bytes that are no HTTP.
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import type { RequestListener, Server } from "node:http";
import type { Duplex } from "node:stream";
import { MAX_HTTP_CONNECTIONS, MAX_HTTP_HEADER_BYTES, MAX_PIPELINED_REQUESTS } from "../lib/limits.js";
import type { ServerTls } from "../lib/tls-server.js";
import { createTlsHttpServer } from "../lib/tls-server.js";
import type { ProblemBody } from "./http-problem.js";
import { HttpProblem } from "./http-problem.js";
import { sendRaw } from "./raw-response.js";

/** What the server needs besides somebody who answers. */
export interface HttpListenerOptions {
  /** Of every response. */
  readonly headers: Readonly<Record<string, string>>;
  readonly problemBody: ProblemBody;
  /** From a request's first byte, or the connection's start, to the request's last byte; milliseconds. */
  readonly requestMs: number;
  /** How long a connection may wait for its next request, in milliseconds. */
  readonly keepAliveMs: number;
  /** Undefined: it speaks in the clear. */
  readonly tls?: ServerTls | undefined;
}

/** Makes the server; it does not listen yet. */
export function createHttpListener(options: HttpListenerOptions, answer: RequestListener): Server {
  const { headers, problemBody, requestMs, keepAliveMs, tls } = options;
  const turns = new Turns();
  const http = {
    maxHeaderSize: MAX_HTTP_HEADER_BYTES,
    requestTimeout: requestMs,
    headersTimeout: requestMs,
    keepAliveTimeout: keepAliveMs,
    // Node looks for requests that are late only now and then, by default twice a minute.
    connectionsCheckingInterval: Math.ceil(requestMs / 5),
  };
  const server = tls ? createTlsHttpServer(http, tls) : createServer(http);
  server.maxConnections = MAX_HTTP_CONNECTIONS;
  // A client that does not take its answer: nothing moves on the connection for longer than any answer takes.
  server.timeout = 2 * requestMs;
  server.on("request", (request, response) => {
    turns.take(request.socket, () => {
      response.once("close", () => turns.end(request.socket));
      for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
      answer(request, response);
    });
  });
  server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
    // In the middle of another answer these words would be taken for a part of it.
    if (!isMalformed(error.code) || turns.has(socket)) return void socket.destroy();
    const problem = problemOf(error.code);
    const body = problemBody(problem, randomUUID());
    sendRaw(socket, { status: problem.status, headers: { ...headers, ...problem.headers }, body });
  });
  return server;
}

/** Who is answered on each connection, and who waits behind. */
class Turns {
  readonly #lines = new WeakMap<Duplex, (() => void)[]>();

  /**
   * Begins at once, or when the answers before have ended: a client can send many requests without taking one answer,
   * and node:http would have all of them answered into memory, and never tell those behind the first that it has left.
   */
  take(socket: Duplex, begin: () => void): void {
    if (!socket.writable) return;
    const line = this.#lines.get(socket) ?? [];
    this.#lines.set(socket, line);
    if (line.push(begin) > MAX_PIPELINED_REQUESTS) return void socket.destroy();
    if (line.length === 1) begin();
  }

  /** The first one's answer has ended, or its client is gone. */
  end(socket: Duplex): void {
    const line = this.#lines.get(socket);
    line?.shift();
    if (socket.writable) line?.[0]?.();
  }

  /** Whether an answer is due. */
  has(socket: Duplex): boolean {
    return (this.#lines.get(socket)?.length ?? 0) > 0;
  }
}

/** Else it is the connection that failed, or its TLS: there is nobody to answer, or no way to. */
function isMalformed(code = ""): boolean {
  return code.startsWith("HPE_") || code === "ERR_HTTP_REQUEST_TIMEOUT";
}

function problemOf(code: string | undefined): HttpProblem {
  if (code === "ERR_HTTP_REQUEST_TIMEOUT") return new HttpProblem(408, "INVALID_ARGUMENT", "the request took too long");
  if (code === "HPE_HEADER_OVERFLOW") return new HttpProblem(431, "INVALID_ARGUMENT", "the headers are too large");
  return new HttpProblem(400, "INVALID_ARGUMENT", "this is not HTTP/1.1");
}
