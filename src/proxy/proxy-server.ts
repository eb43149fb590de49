// SPDX-License-Identifier: Apache-2.0
// The entrance for browsers: the page, its sessions and their WebSockets, over HTTP/1.1 in the clear. It knows neither
// what a session is stored in nor what a display speaks.
import type { FastifyInstance } from "fastify";
import type { RequestListener, Server } from "node:http";
import type { Redeeming, RefusalNotes, ViewerSessions } from "../console/viewer.js";
import { waitAtMost } from "../lib/deadline.js";
import type { Part } from "../lib/lifecycle.js";
import { listen, portOf } from "../lib/listen.js";
import { HTTP_KEEP_ALIVE_MS, HTTP_REQUEST_MS, MAX_REQUEST_MS } from "../lib/limits.js";
import type { Address } from "../lib/listen-address.js";
import type { Log } from "../lib/log.js";
import { REQUEST_ID_HEADER } from "../rpc/call-report.js";
import type { ControllerMetrics } from "../telemetry/controller-metrics.js";
import type { Readiness } from "../telemetry/readiness.js";
import { Admission } from "./admission.js";
import type { ChannelUpgradesOptions } from "./channel-upgrades.js";
import { ChannelUpgrades } from "./channel-upgrades.js";
import { createHttpListener } from "./http-listener.js";
import { OriginRule } from "./origin-rule.js";
import { PAGE_FOLDER, readPageFiles } from "./page-files.js";
import { createProxyApp } from "./proxy-app.js";
import { securityHeaders } from "./security-headers.js";
import { TrustedProxies } from "./trusted-proxies.js";
import { ViewerRequests } from "./viewer-request.js";

/** What the proxy is made from. */
export interface ProxyServerOptions {
  readonly listen: Address;
  readonly redeeming: Redeeming;
  readonly sessions: ViewerSessions;
  readonly refusals: RefusalNotes;
  readonly runViewer: ChannelUpgradesOptions["runViewer"];
  readonly webSockets: ChannelUpgradesOptions["webSockets"];
  readonly readiness: Readiness;
  readonly log: Log;
  readonly metrics: Pick<ControllerMetrics, "proxySeconds">;
  /** The settings console.allowed_origins, proxy.frame_ancestors and proxy.trusted_proxies. */
  readonly allowedOrigins: readonly string[];
  readonly frameAncestors: readonly string[];
  readonly trustedProxies: readonly string[];
  /** Where the page was built to, if not beside the program. */
  readonly pageFolder?: string;
  /** From a request's first byte to its last, if not as usual; milliseconds. */
  readonly requestMs?: number;
  /** How long requests may still run once it stops, if not as usual; milliseconds. */
  readonly finishMs?: number;
}

/**
 * Serves browsers. Open channels are closed before its stop, by whoever runs the sessions. Stop refuses what is new with
 * DRAINING, lets requests that run finish, and cuts whatever is left: it always ends.
 */
export class ProxyServer implements Part {
  readonly #options: ProxyServerOptions;
  readonly #requests: ViewerRequests;
  readonly #admission: Admission;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #upgrades: ChannelUpgrades;
  #server: Server | undefined;
  #app: FastifyInstance | undefined;
  #stopping: Promise<void> | undefined;

  constructor(options: ProxyServerOptions) {
    const { log, metrics, sessions, runViewer, webSockets } = options;
    const { refusals, allowedOrigins, frameAncestors, trustedProxies } = options;
    this.#options = options;
    this.#requests = new ViewerRequests({ log, metrics, proxies: new TrustedProxies(trustedProxies) });
    const origins = new OriginRule({ allowed: allowedOrigins, required: frameAncestors.length > 0 });
    const draining = (): boolean => this.#stopping !== undefined;
    this.#admission = new Admission({ origins, draining, refusals });
    this.#headers = securityHeaders(frameAncestors);
    this.#upgrades = new ChannelUpgrades({
      sessions,
      runViewer,
      webSockets,
      requests: this.#requests,
      admission: this.#admission,
      headers: this.#headers,
    });
  }

  /** The port it listens on, of use where the setting was 0. */
  get port(): number {
    return portOf(this.#server);
  }

  async start(): Promise<void> {
    const { listen: at, log } = this.#options;
    this.#app = this.#createApp();
    await this.#app.ready();
    const server = this.#app.server;
    this.#server = server;
    server.on("upgrade", (request, socket, head) => this.#upgrades.handle(request, socket, head));
    await listen(server, { name: "proxy", at, log });
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
    server.closeAllConnections();
    // The server no longer knows the connections that became WebSockets, but waits for their end.
    this.#upgrades.destroyAll();
    await closed;
    await this.#app?.close();
  }

  /** A token may be used up by now: its viewer should hear of the session. */
  async #answerTheRest(): Promise<void> {
    const { finishMs = MAX_REQUEST_MS, log } = this.#options;
    const expired = (): Error => new Error(`requests still run after ${finishMs} ms`);
    try {
      await waitAtMost({ ms: finishMs, expired }, () => this.#requests.idle());
    } catch (error) {
      log.warn({ err: error }, "proxy cuts requests");
    }
  }

  #createApp(): FastifyInstance {
    const { redeeming, sessions, readiness, frameAncestors, pageFolder = PAGE_FOLDER } = this.#options;
    return createProxyApp({
      redeeming,
      sessions,
      readiness,
      requests: this.#requests,
      admission: this.#admission,
      framed: frameAncestors.length > 0,
      files: readPageFiles(pageFolder),
      createServer: (answer) => this.#createServer(answer),
    });
  }

  #createServer(answer: RequestListener): Server {
    const requestMs = this.#options.requestMs ?? HTTP_REQUEST_MS;
    const options = { headers: this.#headers, requestMs, keepAliveMs: HTTP_KEEP_ALIVE_MS };
    return createHttpListener(options, (request, response) => {
      const viewer = this.#requests.of(request);
      response.setHeader(REQUEST_ID_HEADER, viewer.requestId);
      response.once("close", () => {
        if (!response.writableFinished) viewer.leave();
        this.#requests.finished(viewer, response.writableFinished ? response.statusCode : undefined);
      });
      answer(request, response);
    });
  }
}
