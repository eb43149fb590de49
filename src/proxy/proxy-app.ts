// SPDX-License-Identifier: Apache-2.0
// What the proxy answers, address by address. WebSockets are not here: fastify does not see upgrades.
import { fastify } from "fastify";
import type { FastifyInstance, RouteHandlerMethod } from "fastify";
import type { RequestListener, Server } from "node:http";
import { MAX_REDEEM_BODY_BYTES, MAX_TOKEN_LENGTH } from "../lib/limits.js";
import type { Readiness } from "../telemetry/readiness.js";
import { notFound } from "./http-problem.js";
import { redirectToPage, sendAsset, sendPage } from "./page-handlers.js";
import type { PageFiles } from "./page-files.js";
import type { ProxyRoute } from "./proxy-routes.js";
import { addRoute, knowAllMethods, refuse, routeOf } from "./proxy-routes.js";
import type { SessionHandlerOptions } from "./session-handlers.js";
import { endSession, originGuard, redeemToken, refuseWithoutUpgrade, tellStatus } from "./session-handlers.js";

/** What the addresses need, and the server under them. */
export interface ProxyAppOptions extends SessionHandlerOptions {
  readonly files: PageFiles;
  readonly readiness: Readiness;
  readonly createServer: (answer: RequestListener) => Server;
}

const TOKEN_BODY = {
  type: "object",
  required: ["token"],
  additionalProperties: false,
  properties: { token: { type: "string", minLength: 1, maxLength: MAX_TOKEN_LENGTH } },
};

/** Every address of the proxy. */
function routes(options: ProxyAppOptions): ProxyRoute[] {
  const { files, readiness } = options;
  const page = { handler: sendPage(files) };
  const guards = [originGuard(options)];
  const redeem = { handler: redeemToken(options), guards, body: TOKEN_BODY };
  return [
    { url: "/console", methods: { GET: page } },
    { url: "/console/", methods: { GET: page } },
    { url: "/assets/*", methods: { GET: { handler: sendAsset(files) } } },
    { url: "/api/sessions", methods: { POST: redeem } },
    { url: "/s/:session", methods: { GET: { handler: redirectToPage } } },
    { url: "/s/:session/", methods: { GET: page, DELETE: { handler: endSession(options), guards } } },
    { url: "/s/:session/status", methods: { GET: { handler: tellStatus(options) } } },
    { url: "/s/:session/channel", methods: { GET: { handler: refuseWithoutUpgrade } } },
    { url: "/healthz", methods: { GET: { handler: () => "ok\n" } } },
    { url: "/readyz", methods: { GET: { handler: tellReadiness(readiness) } } },
  ];
}

/** Makes the application; `ready` must be awaited before its server listens. */
export function createProxyApp(options: ProxyAppOptions): FastifyInstance {
  const { requests, createServer } = options;
  const app = fastify({
    serverFactory: (answer) => createServer(answer),
    bodyLimit: MAX_REDEEM_BODY_BYTES,
    exposeHeadRoutes: false,
    // A request that still comes while the server closes is answered like any other, in our words.
    return503OnClosing: false,
    // What is not as the schema says is refused, not repaired.
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false } },
    frameworkErrors: (error, request, reply) => refuse(requests, request, reply, error),
  });
  app.removeContentTypeParser("text/plain");
  knowAllMethods(app);
  app.setErrorHandler((error, request, reply) => refuse(requests, request, reply, error));
  app.setNotFoundHandler(() => {
    throw notFound();
  });
  app.addHook("onRequest", (request, _reply, done) => {
    requests.of(request.raw).route = routeOf(request);
    // At once: what the body of a request to nowhere looks like does not matter.
    done(request.is404 ? notFound() : undefined);
  });
  for (const route of routes(options)) addRoute(app, route);
  return app;
}

/** As on the telemetry endpoint, for balancers that see only this one. */
function tellReadiness(readiness: Readiness): RouteHandlerMethod {
  return (_request, reply) => {
    const ready = readiness.isReady();
    return reply.code(ready ? 200 : 503).send({ ready, conditions: readiness.conditions() });
  };
}
