// SPDX-License-Identifier: Apache-2.0
// What the proxy answers, address by address. WebSockets are not here: fastify does not see upgrades.
import type { onRequestHookHandler, RouteHandlerMethod } from "fastify";
import { notFound } from "../http/http-problem.js";
import type { HttpRequests } from "../http/http-requests.js";
import type { Route } from "../http/routes.js";
import { MAX_TOKEN_LENGTH } from "../lib/limits.js";
import { isSessionId } from "../sessions/session-proof.js";
import type { Readiness } from "../telemetry/readiness.js";
import { redirectTo, redirectToPage, sendAsset, sendForeign, sendPage } from "./page-handlers.js";
import type { PageFile, PageFiles } from "./page-files.js";
import { foreignPagePolicy } from "./security-headers.js";
import type { SessionHandlerOptions } from "./session-handlers.js";
import {
  endSession,
  originGuard,
  redeemToken,
  refuseWithoutUpgrade,
  sessionIn,
  tellStatus,
} from "./session-handlers.js";

/** What the addresses need. */
export interface ProxyRoutesOptions extends SessionHandlerOptions {
  readonly files: PageFiles;
  readonly readiness: Readiness;
}

const TOKEN_BODY = {
  type: "object",
  required: ["token"],
  additionalProperties: false,
  properties: { token: { type: "string", minLength: 1, maxLength: MAX_TOKEN_LENGTH } },
};

const requireSessionShape: onRequestHookHandler = (request, _reply, done) => {
  done(isSessionId(sessionIn(request)) ? undefined : notFound());
};

/** Every address of the proxy. */
export function proxyRoutes(options: ProxyRoutesOptions): Route[] {
  const { files, readiness } = options;
  const page = { handler: sendPage(files) };
  const guards = [originGuard(options)];
  const ofSession = { guards: [requireSessionShape] };
  const redeem = { handler: redeemToken(options), guards, body: TOKEN_BODY };
  const end = { handler: endSession(options), guards };
  return [
    { url: "/console", methods: { GET: page } },
    { url: "/console/", methods: { GET: page } },
    { url: "/assets/*", methods: { GET: { handler: sendAsset(files) } } },
    { url: "/api/sessions", methods: { POST: redeem } },
    { ...ofSession, url: "/s/:session", methods: { GET: { handler: redirectToPage } } },
    { ...ofSession, url: "/s/:session/", methods: { GET: page, DELETE: end } },
    { ...ofSession, url: "/s/:session/status", methods: { GET: { handler: tellStatus(options) } } },
    { ...ofSession, url: "/s/:session/channel", methods: { GET: { handler: refuseWithoutUpgrade } } },
    { url: "/healthz", methods: { GET: { handler: () => "ok\n" } } },
    { url: "/readyz", methods: { GET: { handler: tellReadiness(readiness) } } },
  ];
}

/** The bare host name, as people type it: the index of proxy.web, or else the page, which says what it needs. */
export function rootRoute(web: ReadonlyMap<string, PageFile>): Route {
  return { url: "/", methods: { GET: { handler: redirectTo(web.has("index.html") ? "/index.html" : "/console") } } };
}

/** The addresses of the files in proxy.web; in log and metrics they are one. */
export function webRoutes(
  files: ReadonlyMap<string, PageFile>,
  { requests, frameAncestors }: { readonly requests: HttpRequests; readonly frameAncestors: readonly string[] },
): Route[] {
  const guards: onRequestHookHandler[] = [
    (request, _reply, done) => {
      requests.of(request.raw).route = "/{file}";
      done();
    },
  ];
  return [...files].map(([name, file]) => {
    const policy = name.endsWith(".html") ? foreignPagePolicy(file.body.toString(), frameAncestors) : undefined;
    return { url: `/${name}`, guards, methods: { GET: { handler: sendForeign(file, policy) } } };
  });
}

/** The first parts of the addresses, which are never files of proxy.web. */
export function firstParts(routes: readonly Route[]): ReadonlySet<string> {
  return new Set(routes.map(({ url }) => url.split("/")[1] ?? ""));
}

/** As on the telemetry endpoint, for balancers that see only this one. */
function tellReadiness(readiness: Readiness): RouteHandlerMethod {
  return (_request, reply) => {
    const ready = readiness.isReady();
    return reply.code(ready ? 200 : 503).send({ ready, conditions: readiness.conditions() });
  };
}
