// SPDX-License-Identifier: Apache-2.0
// One HTTP request from its arrival to its line in the log, whether fastify or an upgrade answers it.
import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import { TLSSocket } from "node:tls";
import type { Histogram } from "prom-client";
import { logOutcome } from "../lib/log-outcome.js";
import type { Log } from "../lib/log.js";
import { Waiters } from "../lib/waiters.js";
import { requestIdFrom } from "../rpc/request-context.js";
import type { HttpProblem } from "./http-problem.js";
import type { TrustedProxies } from "./trusted-proxies.js";

/** How requests are named. */
export interface RequestIds {
  /** Headers that carry the id, in lower case: the first that a request has counts, and an answer has them all. */
  readonly headers: readonly string[];
  /** What an id of our own begins with. */
  readonly prefix: string;
}

/** What is known of a request. The route is its pattern: an address may hold a session or a token. */
export class HttpRequest {
  readonly method: string;
  readonly requestId: string;
  readonly clientAddress: string;
  readonly scheme: "http" | "https";
  readonly host: string;
  /** See Forwarded. */
  readonly direct: boolean;
  readonly startedAt = performance.now();
  readonly #gone = new AbortController();
  route = "unknown";
  /** Who asks, once that is known. */
  subject: string | undefined;
  /** Why it was refused. */
  problem: HttpProblem | undefined;

  constructor(request: IncomingMessage, proxies: TrustedProxies, ids: RequestIds) {
    const { remoteAddress } = request.socket;
    const ownScheme = request.socket instanceof TLSSocket ? "https" : "http";
    const { clientAddress, scheme, host, direct } = proxies.read(
      { address: remoteAddress, scheme: ownScheme },
      request.headers,
    );
    this.method = request.method ?? "";
    this.requestId = requestIdFrom(firstOf(request.headers, ids.headers), ids.prefix);
    this.clientAddress = clientAddress;
    this.scheme = scheme;
    this.host = host;
    this.direct = direct;
  }

  /** Aborts when the client goes away. */
  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  /** The client has gone away. */
  leave(): void {
    this.#gone.abort();
  }
}

/** What the book of requests writes into. */
export interface HttpRequestsOptions {
  readonly proxies: TrustedProxies;
  readonly ids: RequestIds;
  /** Whether requests that only read are of interest to nobody as long as they are served. */
  readonly quietReads: boolean;
  readonly log: Log;
  readonly seconds: Histogram<"route" | "reason">;
}

/** The requests under way. Each gets one line in the log, without its address, cookies, credentials and body. */
export class HttpRequests {
  readonly #options: HttpRequestsOptions;
  readonly #known = new WeakMap<IncomingMessage, HttpRequest>();
  readonly #idle = new Waiters();
  #underWay = 0;

  constructor(options: HttpRequestsOptions) {
    this.#options = options;
  }

  /** What is known of `request`; the same on every call. From the first one on it is under way, until `finished`. */
  of(request: IncomingMessage): HttpRequest {
    const known = this.#known.get(request);
    if (known) return known;
    const { proxies, ids } = this.#options;
    const made = new HttpRequest(request, proxies, ids);
    this.#known.set(request, made);
    this.#underWay += 1;
    return made;
  }

  /** The headers that name a request in its answer. */
  idHeaders({ requestId }: HttpRequest): Record<string, string> {
    return Object.fromEntries(this.#options.ids.headers.map((name) => [name, requestId]));
  }

  /** A request is over; called once for each. `status` is undefined where the client left before the answer. */
  finished(request: HttpRequest, status: number | undefined): void {
    this.#write(request, status);
    this.#underWay -= 1;
    if (this.#underWay === 0) this.#idle.wake();
  }

  /** Resolves when no request is under way. */
  async idle(): Promise<void> {
    if (this.#underWay > 0) await this.#idle.wait();
  }

  #write(request: HttpRequest, status: number | undefined): void {
    const { method, route, requestId, subject, problem, clientAddress: client } = request;
    const { log, seconds: histogram, quietReads } = this.#options;
    const seconds = (performance.now() - request.startedAt) / 1_000;
    const reason = problem?.reason ?? (status === undefined ? "CANCELLED" : "OK");
    histogram.observe({ route, reason }, seconds);
    const fields = { method, route, status, reason, requestId, subject, client };
    const quiet = quietReads && status !== 101 && (method === "GET" || method === "HEAD");
    logOutcome(log, { what: "request", problem, seconds, left: status === undefined, quiet }, fields);
  }
}

function firstOf(headers: IncomingHttpHeaders, names: readonly string[]): string | undefined {
  const values = names.map((name) => headers[name]);
  return values.find((value): value is string => typeof value === "string");
}
