// SPDX-License-Identifier: Apache-2.0
// The entrance for browsers: the page, its sessions and their WebSockets, over HTTP/1.1, with TLS or without. It knows
// neither what a session is stored in nor what a display speaks.
import type { Redeeming, RefusalNotes, TokenEntrance, ViewerSessions } from "../console/viewer.js";
import { HttpRequests } from "../http/http-requests.js";
import { HttpServer } from "../http/http-server.js";
import type { Route } from "../http/routes.js";
import { TrustedProxies } from "../http/trusted-proxies.js";
import { MAX_REDEEM_BODY_BYTES } from "../lib/limits.js";
import type { Address } from "../lib/listen-address.js";
import type { Log } from "../lib/log.js";
import type { ServerTls } from "../lib/tls-server.js";
import { REQUEST_ID_HEADER } from "../rpc/call-report.js";
import type { ControllerMetrics } from "../telemetry/controller-metrics.js";
import type { Readiness } from "../telemetry/readiness.js";
import { Admission } from "./admission.js";
import type { ChannelUpgradesOptions } from "./channel-upgrades.js";
import { ChannelUpgrades } from "./channel-upgrades.js";
import { OriginRule } from "./origin-rule.js";
import type { PageFile } from "./page-files.js";
import { PAGE_FOLDER, readPageFiles } from "./page-files.js";
import type { ProxyRoutesOptions } from "./proxy-routes.js";
import { firstParts, proxyRoutes, rootRoute, webRoutes } from "./proxy-routes.js";
import { securityHeaders } from "./security-headers.js";
import { problemBody } from "./viewer-json.js";
import { readWebFolder } from "./web-folder.js";

/** How viewers made for Nova's proxy are served. */
export interface CompatOptions {
  readonly entrance: TokenEntrance;
  /** The folder of their page; start fails where it is not there. */
  readonly web: string;
}

/** What the proxy is made from. */
export interface ProxyServerOptions {
  readonly listen: Address;
  /** Undefined: it speaks in the clear. */
  readonly tls?: ServerTls | undefined;
  readonly redeeming: Redeeming;
  readonly sessions: ViewerSessions;
  /** Undefined where they are not (console.compat_tokens). */
  readonly compat?: CompatOptions | undefined;
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

const NO_FILES: ReadonlyMap<string, PageFile> = new Map();

/** How requests of browsers are named. */
const REQUEST_IDS = { headers: [REQUEST_ID_HEADER], prefix: "" };

/**
 * Makes the server for browsers. Open channels are closed before its stop, by whoever runs the sessions. Stop refuses what is new with
 * DRAINING, lets requests that run finish, and cuts whatever is left: it always ends.
 */
export function createProxyServer(options: ProxyServerOptions): HttpServer {
  const { listen, tls, log, metrics, redeeming, sessions, refusals, readiness, runViewer, webSockets } = options;
  const { allowedOrigins, frameAncestors, trustedProxies, requestMs, finishMs } = options;
  const proxies = new TrustedProxies(trustedProxies);
  const seconds = metrics.proxySeconds;
  const requests = new HttpRequests({ proxies, ids: REQUEST_IDS, quietReads: true, log, seconds });
  const framed = frameAncestors.length > 0;
  const origins = new OriginRule({ allowed: allowedOrigins, required: framed });
  const draining = (): boolean => server.stopping;
  const admission = new Admission({ origins, draining, refusals });
  const headers = securityHeaders(frameAncestors);
  const handlers = { redeeming, sessions, readiness, requests, admission, framed };
  const server: HttpServer = new HttpServer({
    name: "proxy",
    listen,
    tls,
    routes: () => routesOf(options, handlers),
    requests,
    problemBody,
    headers,
    maxBodyBytes: MAX_REDEEM_BODY_BYTES,
    upgrades: new ChannelUpgrades({
      sessions,
      entrance: options.compat?.entrance,
      runViewer,
      webSockets,
      requests,
      admission,
      headers,
    }),
    log,
    requestMs,
    finishMs,
  });
  return server;
}

/** Our own addresses, and what proxy.web adds to them. */
function routesOf(options: ProxyServerOptions, handlers: Omit<ProxyRoutesOptions, "files">): readonly Route[] {
  const { pageFolder = PAGE_FOLDER, compat, frameAncestors } = options;
  const own = proxyRoutes({ ...handlers, files: readPageFiles(pageFolder) });
  const web = compat ? readWebFolder(compat.web, firstParts(own)) : NO_FILES;
  return [...own, rootRoute(web), ...webRoutes(web, { requests: handlers.requests, frameAncestors })];
}
