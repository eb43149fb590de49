// SPDX-License-Identifier: Apache-2.0
// One request of a viewer from its arrival to its line in the log, whether fastify or the upgrade answers it.
import type { IncomingMessage } from "node:http";
import type { ViewerContext } from "../console/viewer.js";
import type { Log } from "../lib/log.js";
import { Waiters } from "../lib/waiters.js";
import { requestIdFrom } from "../rpc/request-context.js";
import { REQUEST_ID_HEADER } from "../rpc/call-report.js";
import type { ControllerMetrics } from "../telemetry/controller-metrics.js";
import type { HttpProblem } from "./http-problem.js";
import type { TrustedProxies } from "./trusted-proxies.js";

/** What is known of a request. The route is its pattern: an address may hold a session. */
export class ViewerRequest implements ViewerContext {
  readonly method: string;
  readonly requestId: string;
  readonly clientAddress: string;
  readonly scheme: "http" | "https";
  readonly host: string;
  readonly startedAt = performance.now();
  readonly #gone = new AbortController();
  route = "unknown";
  /** Why it was refused. */
  problem: HttpProblem | undefined;

  constructor(request: IncomingMessage, proxies: TrustedProxies) {
    const { clientAddress, scheme, host } = proxies.read(request.socket.remoteAddress, request.headers);
    const id = request.headers[REQUEST_ID_HEADER];
    this.method = request.method ?? "";
    this.requestId = requestIdFrom(Array.isArray(id) ? undefined : id);
    this.clientAddress = clientAddress;
    this.scheme = scheme;
    this.host = host;
  }

  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  /** The viewer has gone away. */
  leave(): void {
    this.#gone.abort();
  }
}

/** What the book of requests writes into. */
export interface ViewerRequestsOptions {
  readonly proxies: TrustedProxies;
  readonly log: Log;
  readonly metrics: Pick<ControllerMetrics, "proxySeconds">;
}

/** The requests under way. Each gets one line in the log, without its address, cookies and body. */
export class ViewerRequests {
  readonly #options: ViewerRequestsOptions;
  readonly #known = new WeakMap<IncomingMessage, ViewerRequest>();
  readonly #idle = new Waiters();
  #underWay = 0;

  constructor(options: ViewerRequestsOptions) {
    this.#options = options;
  }

  /** What is known of `request`; the same on every call. From the first one on it is under way, until `finished`. */
  of(request: IncomingMessage): ViewerRequest {
    const known = this.#known.get(request);
    if (known) return known;
    const viewer = new ViewerRequest(request, this.#options.proxies);
    this.#known.set(request, viewer);
    this.#underWay += 1;
    return viewer;
  }

  /** A request is over; called once for each. `status` is undefined where the viewer left before the answer. */
  finished(viewer: ViewerRequest, status: number | undefined): void {
    this.#write(viewer, status);
    this.#underWay -= 1;
    if (this.#underWay === 0) this.#idle.wake();
  }

  /** Resolves when no request is under way. */
  async idle(): Promise<void> {
    if (this.#underWay > 0) await this.#idle.wait();
  }

  #write(viewer: ViewerRequest, status: number | undefined): void {
    const { method, route, requestId, problem, clientAddress: client } = viewer;
    const seconds = (performance.now() - viewer.startedAt) / 1_000;
    const reason = problem?.reason ?? (status === undefined ? "CANCELLED" : "OK");
    this.#options.metrics.proxySeconds.observe({ route, reason }, seconds);
    const fields = { method, route, status, reason, ms: Math.round(seconds * 1e4) / 10, requestId, client };
    const { log } = this.#options;
    // Pages, files and the states that every open page asks for: of interest to nobody as long as they come.
    const routine = status !== 101 && (method === "GET" || method === "HEAD");
    const outcome = status === undefined ? "viewer left" : "request served";
    if (!problem) return log[routine ? "debug" : "info"](fields, outcome);
    const detail = { ...fields, detail: problem.message, ...problem.metadata };
    if (problem.reason !== "INTERNAL") return log.info(detail, "request refused");
    log.error({ ...detail, err: problem.cause }, "request failed");
  }
}
