// SPDX-License-Identifier: Apache-2.0
import type { onRequestHookHandler, RouteHandlerMethod } from "fastify";
import type { Redeeming, ViewerSessions } from "../console/viewer.js";
import { ServiceError } from "../lib/service-error.js";
import { HttpProblem, problemFrom, sessionNotFound } from "./http-problem.js";
import type { OriginRule } from "./origin-rule.js";
import { sessionIn } from "./proxy-routes.js";
import { readProof, writeSessionCookie } from "./session-cookie.js";
import { openedJson, refusedJson, statusJson } from "./viewer-json.js";
import type { ViewerRequest, ViewerRequests } from "./viewer-request.js";

/** What the handlers of sessions need. */
export interface SessionHandlerOptions {
  readonly redeeming: Redeeming;
  readonly sessions: ViewerSessions;
  readonly requests: ViewerRequests;
  readonly origins: OriginRule;
  /** Whether pages of other sites may frame the console. */
  readonly framed: boolean;
  /** Whether this controller is stopping. */
  readonly draining: () => boolean;
}

/** Throws ORIGIN_REFUSED for what the script of another page has sent. */
export function requireOrigin(origins: OriginRule, header: string | undefined, viewer: ViewerRequest): void {
  if (origins.allows(header, viewer)) return;
  const message =
    "pages of this origin may not use consoles here; an administrator can list it in console.allowed_origins";
  throw new ServiceError("ORIGIN_REFUSED", message);
}

/** Throws DRAINING for anything new while this controller stops. */
export function requireServing(draining: () => boolean): void {
  if (draining()) throw new ServiceError("DRAINING", "this controller is stopping; try again, another one answers");
}

/** The proof in the Cookie header. Throws the SESSION_NOT_FOUND of an unknown session where there is none. */
export function requireProof(cookie: string | undefined): string {
  const proof = readProof(cookie);
  if (proof === undefined) throw sessionNotFound();
  return proof;
}

/** The same words whether nobody has such a session or somebody else has. */
export function withoutHints(thrown: unknown): unknown {
  return thrown instanceof ServiceError && thrown.reason === "SESSION_NOT_FOUND" ? sessionNotFound() : thrown;
}

/** Lets in whoever may act, before the body is read. */
export function originGuard({ origins, requests }: SessionHandlerOptions): onRequestHookHandler {
  return (request, _reply, done) => {
    requireOrigin(origins, request.headers.origin, requests.of(request.raw));
    done();
  };
}

/** Turns a token into a session and its cookie. */
export function redeemToken(options: SessionHandlerOptions): RouteHandlerMethod {
  const { redeeming, requests, framed, draining } = options;
  return async (request, reply) => {
    requireServing(draining);
    const viewer = requests.of(request.raw);
    const { session, proof } = await redeeming.execute((request.body as { readonly token: string }).token, viewer);
    const secure = viewer.scheme === "https";
    const cookie = writeSessionCookie({ sessionId: session.sessionId, proof, secure, framed });
    return reply.code(201).header("set-cookie", cookie).send(openedJson(session));
  };
}

/** Says how a session stands, always with 200: browsers write any other status into their error log. */
export function tellStatus({ sessions, requests }: SessionHandlerOptions): RouteHandlerMethod {
  return async (request) => {
    try {
      return statusJson(await sessions.status(sessionIn(request), requireProof(request.headers.cookie)));
    } catch (error) {
      const problem = problemFrom(withoutHints(error));
      requests.of(request.raw).problem = problem;
      return refusedJson(problem);
    }
  };
}

/** Ends a session, by its viewer. */
export function endSession({ sessions, requests }: SessionHandlerOptions): RouteHandlerMethod {
  return async (request, reply) => {
    try {
      await sessions.end(sessionIn(request), requireProof(request.headers.cookie), requests.of(request.raw));
    } catch (error) {
      throw withoutHints(error);
    }
    return reply.code(204).send();
  };
}

/** The channel's address without an upgrade: most likely a balancer that does not pass it on. */
export const refuseWithoutUpgrade: RouteHandlerMethod = () => {
  const message = "this is a WebSocket; whatever stands between must pass on Upgrade and Connection";
  throw new HttpProblem(426, "INVALID_ARGUMENT", message, { headers: { upgrade: "websocket" } });
};
