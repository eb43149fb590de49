// SPDX-License-Identifier: Apache-2.0
import type { FastifyRequest, onRequestHookHandler, RouteHandlerMethod } from "fastify";
import type { Redeeming, SessionStatus, ViewerSessions } from "../console/viewer.js";
import { HttpProblem, problemFrom } from "../http/http-problem.js";
import type { HttpRequests } from "../http/http-requests.js";
import type { Admission, Attempt } from "./admission.js";
import { sessionNotFound, withoutHints } from "./admission.js";
import { readProof, writeSessionCookie } from "./session-cookie.js";
import { openedJson, refusedJson, statusJson } from "./viewer-json.js";

/** What the handlers of sessions need. */
export interface SessionHandlerOptions {
  readonly redeeming: Redeeming;
  readonly sessions: ViewerSessions;
  readonly requests: HttpRequests;
  readonly admission: Admission;
  /** Whether pages of other sites may frame the console. */
  readonly framed: boolean;
}

/** Lets in whoever may act, before the body is read. */
export function originGuard({ admission, requests }: SessionHandlerOptions): onRequestHookHandler {
  return (request, _reply, done) => {
    admission.requireOrigin(request.headers.origin, attemptOf(requests, request));
    done();
  };
}

/** Turns a token into a session and its cookie. */
export function redeemToken(options: SessionHandlerOptions): RouteHandlerMethod {
  const { redeeming, requests, framed, admission } = options;
  return async (request, reply) => {
    const viewer = requests.of(request.raw);
    admission.requireServing({ viewer });
    const { token } = request.body as { readonly token: string };
    const { session, proof } = await admission.trying({ viewer }, () => redeeming.execute(token, viewer));
    const secure = viewer.scheme === "https";
    const cookie = writeSessionCookie({ sessionId: session.sessionId, proof, secure, framed });
    return reply.code(201).header("set-cookie", cookie).send(openedJson(session));
  };
}

/**
 * Says how a session stands, always with 200: browsers write any other status into their error log. Who only asks is
 * refused nothing.
 */
export function tellStatus({ sessions, requests, admission }: SessionHandlerOptions): RouteHandlerMethod {
  return async (request) => {
    try {
      const proof = readProof(request.headers.cookie);
      if (proof === undefined) throw sessionNotFound();
      const ask = (): Promise<SessionStatus> => sessions.status(sessionIn(request), proof);
      return statusJson(await admission.trying(attemptOf(requests, request), ask));
    } catch (error) {
      const problem = problemFrom(withoutHints(error));
      requests.of(request.raw).problem = problem;
      return refusedJson(problem);
    }
  };
}

/** Ends a session, by its viewer. */
export function endSession({ sessions, requests, admission }: SessionHandlerOptions): RouteHandlerMethod {
  return async (request, reply) => {
    const attempt = attemptOf(requests, request);
    const proof = admission.requireProof(request.headers.cookie, attempt);
    try {
      await admission.trying(attempt, () => sessions.end(sessionIn(request), proof, attempt.viewer));
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

/** The session that a request names. */
export function sessionIn(request: FastifyRequest): string {
  return (request.params as { readonly session: string }).session;
}

function attemptOf(requests: HttpRequests, request: FastifyRequest): Attempt {
  const { session } = request.params as { readonly session?: string };
  return { viewer: requests.of(request.raw), sessionId: session };
}
