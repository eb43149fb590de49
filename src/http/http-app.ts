// SPDX-License-Identifier: Apache-2.0
// fastify as every entrance for HTTP wants it: strict, and silent where it would speak in words of its own.
import { fastify } from "fastify";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { RequestListener, Server } from "node:http";
import { MAX_HTTP_HEADER_BYTES } from "../lib/limits.js";
import type { ProblemBody } from "./http-problem.js";
import { notFound, problemFrom } from "./http-problem.js";
import type { HttpRequests } from "./http-requests.js";
import type { Route } from "./routes.js";
import { addRoute, knowAllMethods } from "./routes.js";

/** What an application is made from. */
export interface HttpAppOptions {
  readonly routes: readonly Route[];
  readonly problemBody: ProblemBody;
  readonly requests: HttpRequests;
  /** Of a request's body. */
  readonly maxBodyBytes: number;
  readonly createServer: (answer: RequestListener) => Server;
}

/** Makes the application; `ready` must be awaited before its server listens. */
export function createHttpApp(options: HttpAppOptions): FastifyInstance {
  const { routes, requests, maxBodyBytes, createServer } = options;
  const refuse = (error: unknown, request: FastifyRequest, reply: FastifyReply): void =>
    refuseWith(options, error, request, reply);
  const app = fastify({
    serverFactory: (answer) => createServer(answer),
    bodyLimit: maxBodyBytes,
    exposeHeadRoutes: false,
    // How long a part of an address is matters to its route alone; the headers' bound is the address' too.
    routerOptions: { maxParamLength: MAX_HTTP_HEADER_BYTES },
    // A request that still comes while the server closes is answered like any other, in our words.
    return503OnClosing: false,
    // What is not as the schema says is refused, not repaired.
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false } },
    frameworkErrors: refuse,
  });
  app.removeContentTypeParser("text/plain");
  knowAllMethods(app);
  app.setErrorHandler(refuse);
  app.setNotFoundHandler(() => {
    throw notFound();
  });
  app.addHook("onRequest", (request, _reply, done) => {
    requests.of(request.raw).route = routeOf(request);
    // At once: what the body of a request to nowhere looks like does not matter.
    done(request.is404 ? notFound() : undefined);
  });
  for (const route of routes) addRoute(app, route);
  return app;
}

/** Answers with a problem, and has it logged. */
function refuseWith(
  { requests, problemBody }: HttpAppOptions,
  thrown: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  const problem = problemFrom(thrown);
  const known = requests.of(request.raw);
  known.problem = problem;
  void reply.code(problem.status).headers(problem.headers).send(problemBody(problem, known.requestId));
}

/** The address without what a client put in it. */
function routeOf(request: FastifyRequest): string {
  if (request.is404) return "unknown";
  return (request.routeOptions.url ?? "unknown").replace(/:(\w+)/g, "{$1}").replace("*", "{file}");
}
