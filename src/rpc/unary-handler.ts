// SPDX-License-Identifier: Apache-2.0
// What every unary call goes through: context, the guard, one call of the handler, one exit for errors, one log line, one metric.
import type { handleUnaryCall } from "@grpc/grpc-js";
import { draining } from "../lib/draining.js";
import type { Part } from "../lib/lifecycle.js";
import type { ServiceError } from "../lib/service-error.js";
import { Waiters } from "../lib/waiters.js";
import type { NamedMethod } from "./call-guard.js";
import { ownName } from "./call-guard.js";
import type { CallOptions } from "./call-report.js";
import { contextOf, credentialsOf, headerOf, reportCall } from "./call-report.js";
import { MalformedMessage } from "./malformed-message.js";
import type { RequestContext } from "./request-context.js";
import { serviceErrorFrom } from "./service-error-from.js";
import { statusFromError } from "./status-from-error.js";

/** Decodes, calls one use case, encodes. */
export type UnaryMethod<Request, Response> = (request: Request, context: RequestContext) => Promise<Response>;

/**
 * Wraps methods into grpc-js handlers that share one set of options. Stop refuses new calls with DRAINING and waits for
 * those that run; it comes before the server's own stop, after which a caller would hear nothing at all.
 */
export class UnaryHandlers implements Part {
  readonly #options: CallOptions;
  readonly #idle = new Waiters();
  #running = 0;
  #draining = false;

  constructor(options: CallOptions) {
    this.#options = options;
  }

  /** Nothing to start: calls come by themselves. */
  start(): void {
    this.#draining = false;
  }

  /** Resolves when no call runs; the deadlines of the calls bound it. */
  async stop(): Promise<void> {
    this.#draining = true;
    if (this.#running > 0) await this.#idle.wait();
  }

  /** A handler for a method of a service. Throws where the method has no rule that says who may call it. */
  handle<Request, Response>(
    { path }: NamedMethod<Request, Response>,
    method: UnaryMethod<Request, Response>,
  ): handleUnaryCall<Request, Response> {
    const name = ownName(path);
    const guard = this.#options.guardOf(path);
    return (call, callback) => {
      const startedAt = performance.now();
      const gone = new AbortController();
      const onCancelled = (): void => gone.abort();
      call.on("cancelled", onCancelled);
      let context = contextOf(call, gone.signal);
      const finish = (error?: ServiceError): void => {
        // grpc-js says "cancelled" at the end of every call, answered or not.
        call.off("cancelled", onCancelled);
        const seconds = (performance.now() - startedAt) / 1_000;
        // The caller need not wait until it is written down.
        setImmediate(() => reportCall(this.#options, { name, context, seconds, error }));
        // Together with the answer: sent earlier, it would be a packet of its own.
        call.sendMetadata(headerOf(context));
      };
      const serve = async (): Promise<Response> => {
        const { callers } = this.#options;
        const answer = async (): Promise<Response> => {
          const request: Request | MalformedMessage = call.request;
          await guard.admit(context, request);
          if (request instanceof MalformedMessage) throw request.error;
          return method(request, context);
        };
        if (!guard.asksWho) return callers.serveAnybody(context, answer);
        context = { ...context, caller: await callers.admit(credentialsOf(call, context), context) };
        return answer();
      };
      this.#run(serve).then(
        (response) => {
          finish();
          callback(null, response);
        },
        (thrown: unknown) => {
          const error = serviceErrorFrom(thrown);
          finish(error);
          callback(statusFromError(error));
        },
      );
    };
  }

  async #run<Response>(serve: () => Promise<Response>): Promise<Response> {
    if (this.#draining) throw draining();
    this.#running += 1;
    try {
      return await serve();
    } finally {
      this.#running -= 1;
      if (this.#running === 0) this.#idle.wake();
    }
  }
}
