// SPDX-License-Identifier: Apache-2.0
// What must hold before a use case is asked, and what it is then told: who calls, in which version, from where.
import type { FastifyReply, FastifyRequest, onRequestHookHandler } from "fastify";
import type { IncomingMessage } from "node:http";
import type { Verb } from "../config/policy-table.js";
import type { VerbGate } from "../console/verb-gate.js";
import { subjectOf } from "../console/verb-gate.js";
import { HttpProblem, notFound } from "../http/http-problem.js";
import type { HttpRequest, HttpRequests } from "../http/http-requests.js";
import { draining } from "../lib/draining.js";
import { GATEWAY_REQUEST_MS, MAX_NAME_LENGTH } from "../lib/limits.js";
import { isLoopback } from "../lib/listen-address.js";
import { parseText } from "../lib/validate.js";
import type { Caller } from "../rpc/caller.js";
import type { Callers } from "../rpc/callers.js";
import { bearerTokenIn, isUnauthenticated } from "../rpc/callers.js";
import type { RequestContext } from "../rpc/request-context.js";
import type { Microversion } from "./microversion.js";
import { requestedVersion, VARY_HEADERS, versionHeaders } from "./microversion.js";

/** A request that may be answered. */
export interface NovaCall {
  readonly version: Microversion;
  readonly context: RequestContext;
}

/** What calls are let in by. */
export interface NovaCallsOptions {
  readonly requests: HttpRequests;
  readonly callers: Pick<Callers, "admit">;
  /** Where who is not known gets a token; undefined where there is no Keystone. */
  readonly keystoneUrl: string | undefined;
  readonly gate: Pick<VerbGate, "require">;
  /** Whether this controller is stopping. */
  readonly draining: () => boolean;
}

/** Lets calls in, before their bodies are read, and remembers what is known of them. */
export class NovaCalls {
  readonly #options: NovaCallsOptions;
  readonly #known = new WeakMap<IncomingMessage, NovaCall>();

  constructor(options: NovaCallsOptions) {
    this.#options = options;
  }

  /**
   * Refuses with DRAINING, then who is not known (401), then the version (400, 406), then the project of the address
   * (404, 400): the order of Nova, where identity is checked before the API is reached.
   */
  readonly guard: onRequestHookHandler = (request, reply, done) => {
    this.#admit(request, reply).then(() => done(), done);
  };

  /** Refuses, after the guard, callers without the verb (403): whatever server is named, and before the body is read. */
  allowing(verb: Verb): onRequestHookHandler {
    return (request, _reply, done) => {
      const { server: instanceUuid } = request.params as { readonly server?: string };
      const { gate } = this.#options;
      gate.require(verb, this.of(request).context, subjectOf({ instanceUuid })).then(() => done(), done);
    };
  }

  /** What is known of a request that the guard has let in. */
  of(request: FastifyRequest): NovaCall {
    const call = this.#known.get(request.raw);
    if (!call) throw new Error("a route without its guard");
    return call;
  }

  async #admit(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    if (this.#options.draining()) throw draining();
    const known = this.#options.requests.of(request.raw);
    void reply.headers(VARY_HEADERS);
    const caller = await this.#identify(request, known);
    const version = requestedVersion(request.headers);
    void reply.headers(versionHeaders(version));
    requireOwnProject(request, caller);
    this.#known.set(request.raw, { version, context: contextOf(known, caller) });
  }

  async #identify(request: FastifyRequest, known: HttpRequest): Promise<Caller> {
    // A balancer on this machine may bring anybody, and say of him what it likes.
    const address = known.direct && isLoopbackHost(known.host) ? known.clientAddress : "";
    try {
      const caller = await this.#options.callers.admit({ token: tokenIn(request), address }, known);
      known.subject = caller.subject;
      return caller;
    } catch (error) {
      throw isUnauthenticated(error) ? unauthorized(error.message, this.#options.keystoneUrl) : error;
    }
  }
}

/** Nova's header, or the usual one. */
function tokenIn({ headers }: FastifyRequest): string | undefined {
  const token = headers["x-auth-token"];
  return (typeof token === "string" && token.trim()) || bearerTokenIn(headers.authorization);
}

/** With the header that Keystone's own middleware sends. */
function unauthorized(message: string, keystoneUrl: string | undefined): HttpProblem {
  const keystone = keystoneUrl === undefined ? "" : `Keystone uri="${keystoneUrl}", `;
  const headers = { "www-authenticate": `${keystone}Bearer realm="spicegate"` };
  return new HttpProblem(401, "UNAUTHENTICATED", message, { headers });
}

/**
 * A page that a browser on this machine has open can have its own name resolve to this machine, and then send any
 * header here: who is known by the address alone must not have come by such a name.
 */
function isLoopbackHost(host: string): boolean {
  return isLoopback(host.replace(/:\d*$/, "").replace(/^\[(.*)\]$/, "$1"));
}

/** No project has such a name: a client would resolve the addresses that we make of it to other ones. */
const NO_PROJECTS = ["", ".", ".."];

/** Addresses may name a project, which must then be the caller's; a caller without one may name any. */
function requireOwnProject(request: FastifyRequest, { project }: Caller): void {
  const { project: named } = request.params as { readonly project?: string };
  if (named === undefined) return;
  if (NO_PROJECTS.includes(named)) throw notFound();
  parseText(named, { field: "the project in the address", most: MAX_NAME_LENGTH });
  if (project === "" || named === project) return;
  throw new HttpProblem(400, "INVALID_ARGUMENT", "the project in the address is not that of the token");
}

function contextOf(known: HttpRequest, caller: Caller): RequestContext {
  const { requestId, clientAddress, signal, startedAt } = known;
  const remainingMs = (): number => startedAt + GATEWAY_REQUEST_MS - performance.now();
  return { caller, requestId, clientAddress, signal, remainingMs };
}
