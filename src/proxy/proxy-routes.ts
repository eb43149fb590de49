// SPDX-License-Identifier: Apache-2.0
import type { FastifyInstance, FastifyReply, FastifyRequest, onRequestHookHandler, RouteHandlerMethod } from "fastify";
import { METHODS } from "node:http";
import { isSessionId } from "../sessions/session-proof.js";
import { HttpProblem, notFound, problemFrom } from "./http-problem.js";
import type { ViewerRequests } from "./viewer-request.js";

/** One method of an address: what must hold before its body is read, and the answer. */
export interface MethodRoute {
  readonly handler: RouteHandlerMethod;
  readonly guards?: readonly onRequestHookHandler[];
  /** A JSON schema. */
  readonly body?: object;
}

/** An address and its methods. HEAD comes with GET. */
export interface ProxyRoute {
  /** With the session as ":session" and a file as "*". */
  readonly url: string;
  readonly methods: Readonly<Partial<Record<"GET" | "POST" | "DELETE", MethodRoute>>>;
}

const SESSION = ":session";

/** Adds an address; each method that it does not have is answered 405, with those that it has. */
export function addRoute(app: FastifyInstance, { url, methods }: ProxyRoute): void {
  const shape = url.includes(SESSION) ? [requireSessionShape] : [];
  const served = Object.keys(methods).flatMap((method) => (method === "GET" ? ["GET", "HEAD"] : [method]));
  for (const [name, { handler, guards = [], body }] of Object.entries(methods)) {
    const method = name === "GET" ? ["GET", "HEAD"] : name;
    const schema = body === undefined ? {} : { body };
    app.route({ method, url, handler, onRequest: [...shape, ...guards], schema });
  }
  const { guard, handler } = methodNotAllowed(served);
  const method = app.supportedMethods.filter((name) => !served.includes(name));
  app.route({ method, url, handler, onRequest: [...shape, guard] });
}

/** Refuses before the body is read: what is in it does not matter. */
function methodNotAllowed(served: readonly string[]): { guard: onRequestHookHandler; handler: RouteHandlerMethod } {
  const headers = { allow: served.join(", ") };
  const problem = new HttpProblem(405, "METHOD_NOT_ALLOWED", "this address is not for this method", { headers });
  return {
    guard: (_request, _reply, done) => done(problem),
    handler: () => Promise.reject(problem),
  };
}

/** Lets fastify know every method that node:http knows, so that each is answered in our words. */
export function knowAllMethods(app: FastifyInstance): void {
  for (const method of METHODS) if (!app.supportedMethods.includes(method)) app.addHttpMethod(method);
}

/** The session that a request names; its shape has been checked. */
export function sessionIn(request: FastifyRequest): string {
  return (request.params as { readonly session: string }).session;
}

/** Answers with a problem, and has it logged. */
export function refuse(requests: ViewerRequests, request: FastifyRequest, reply: FastifyReply, thrown: unknown): void {
  const problem = problemFrom(thrown);
  const viewer = requests.of(request.raw);
  viewer.problem = problem;
  void reply.code(problem.status).headers(problem.headers).send(problem.body(viewer.requestId));
}

/** The address without what a viewer put in it. */
export function routeOf(request: FastifyRequest): string {
  if (request.is404) return "unknown";
  return (request.routeOptions.url ?? "unknown").replace(SESSION, "{session}").replace("*", "{file}");
}

const requireSessionShape: onRequestHookHandler = (request, _reply, done) => {
  done(isSessionId(sessionIn(request)) ? undefined : notFound());
};
