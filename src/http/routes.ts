// SPDX-License-Identifier: Apache-2.0
import type { FastifyInstance, onRequestHookHandler, RouteHandlerMethod } from "fastify";
import { METHODS } from "node:http";
import { HttpProblem } from "./http-problem.js";

/** One method of an address: what must hold before its body is read, and the answer. */
export interface MethodRoute {
  readonly handler: RouteHandlerMethod;
  readonly guards?: readonly onRequestHookHandler[];
  /** JSON schemas. */
  readonly body?: object;
  readonly querystring?: object;
}

/** An address and its methods. HEAD comes with GET. */
export interface Route {
  /** With ":name" for a part and "*" for the rest. */
  readonly url: string;
  /** What must hold whatever the method is, before the guards of the method. */
  readonly guards?: readonly onRequestHookHandler[];
  readonly methods: Readonly<Partial<Record<"GET" | "POST" | "DELETE", MethodRoute>>>;
}

/** Adds an address; each method that it does not have is answered 405, with those that it has. */
export function addRoute(app: FastifyInstance, { url, guards: shared = [], methods }: Route): void {
  const served = Object.keys(methods).flatMap((method) => (method === "GET" ? ["GET", "HEAD"] : [method]));
  for (const [name, { handler, guards = [], ...schema }] of Object.entries(methods)) {
    const method = name === "GET" ? ["GET", "HEAD"] : name;
    app.route({ method, url, handler, onRequest: [...shared, ...guards], schema });
  }
  const { guard, handler } = methodNotAllowed(served);
  const method = app.supportedMethods.filter((name) => !served.includes(name));
  app.route({ method, url, handler, onRequest: [...shared, guard] });
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
