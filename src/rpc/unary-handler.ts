// SPDX-License-Identifier: Apache-2.0
// What every unary call goes through: context, one call of the handler, one exit for errors, one log line, one metric.
import { Metadata } from "@grpc/grpc-js";
import type { handleUnaryCall, ServerUnaryCall } from "@grpc/grpc-js";
import type { Part } from "../lib/lifecycle.js";
import { parseAddress } from "../lib/listen-address.js";
import type { Log } from "../lib/log.js";
import { ServiceError } from "../lib/service-error.js";
import type { ControllerMetrics } from "../telemetry/controller-metrics.js";
import type { Caller } from "./caller.js";
import { MalformedMessage } from "./malformed-message.js";
import type { RequestContext } from "./request-context.js";
import { requestIdFrom } from "./request-context.js";
import { serviceErrorFrom } from "./service-error-from.js";
import { statusFromError } from "./status-from-error.js";

/** The header that carries a request id in both directions. */
export const REQUEST_ID_HEADER = "x-request-id";

/** Decodes, calls one use case, encodes. */
export type UnaryMethod<Request, Response> = (request: Request, context: RequestContext) => Promise<Response>;

/** What the wrapper needs besides the method. */
export interface UnaryOptions {
  /** Who a call without credentials from loopback is. */
  readonly caller: Caller;
  readonly log: Log;
  readonly metrics: Pick<ControllerMetrics, "rpcSeconds">;
}

/**
 * Wraps methods into grpc-js handlers that share one set of options. Stop refuses new calls with DRAINING and waits for
 * those that run; it comes before the server's own stop, after which a caller would hear nothing at all.
 */
export class UnaryHandlers implements Part {
  readonly #options: UnaryOptions;
  readonly #idle = new Set<() => void>();
  #running = 0;
  #draining = false;

  constructor(options: UnaryOptions) {
    this.#options = options;
  }

  /** Nothing to start: calls come by themselves. */
  start(): void {
    this.#draining = false;
  }

  /** Resolves when no call runs; the deadlines of the calls bound it. */
  async stop(): Promise<void> {
    this.#draining = true;
    if (this.#running > 0) await new Promise<void>((resolve) => this.#idle.add(resolve));
  }

  /** A handler for `name`, the RPC's own name in logs and metrics. */
  handle<Request, Response>(name: string, method: UnaryMethod<Request, Response>): handleUnaryCall<Request, Response> {
    return (call, callback) => {
      const startedAt = performance.now();
      const gone = new AbortController();
      const onCancelled = (): void => gone.abort();
      call.on("cancelled", onCancelled);
      const context = this.#contextOf(call, gone.signal);
      const finish = (error?: ServiceError): void => {
        // grpc-js says "cancelled" at the end of every call, answered or not.
        call.off("cancelled", onCancelled);
        const seconds = (performance.now() - startedAt) / 1_000;
        // The caller need not wait until it is written down.
        setImmediate(() => this.#finish({ name, context, seconds, error }));
        // Together with the answer: sent earlier, it would be a packet of its own.
        const header = new Metadata();
        header.set(REQUEST_ID_HEADER, context.requestId);
        call.sendMetadata(header);
      };
      this.#run(method, call.request, context).then(
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

  async #run<Request, Response>(
    method: UnaryMethod<Request, Response>,
    request: Request,
    context: RequestContext,
  ): Promise<Response> {
    if (this.#draining) {
      throw new ServiceError("DRAINING", "this controller is stopping; call again, another one answers");
    }
    if (request instanceof MalformedMessage) throw request.error;
    this.#running += 1;
    try {
      return await method(request, context);
    } finally {
      this.#running -= 1;
      if (this.#running === 0) this.#wakeIdle();
    }
  }

  #wakeIdle(): void {
    for (const wake of this.#idle) wake();
    this.#idle.clear();
  }

  #contextOf(call: ServerUnaryCall<unknown, unknown>, signal: AbortSignal): RequestContext {
    const deadline = Number(call.getDeadline());
    return {
      caller: this.#options.caller,
      requestId: requestIdFrom(call.metadata.get(REQUEST_ID_HEADER)[0]),
      clientAddress: parseAddress(call.getPeer())?.host ?? "",
      signal,
      // A gRPC deadline travels as a time span; grpc-js has turned it into a moment of this machine's clock.
      remainingMs: () => deadline - Date.now(),
    };
  }

  #finish({ name, context, seconds, error }: Outcome): void {
    const reason = error?.reason ?? "OK";
    this.#options.metrics.rpcSeconds.observe({ method: name, reason }, seconds);
    const fields = {
      method: name,
      reason,
      ms: Math.round(seconds * 1e4) / 10,
      requestId: context.requestId,
      subject: context.caller.subject,
      client: context.clientAddress,
    };
    if (!error) return this.#options.log.info(fields, "call served");
    const detail = { ...fields, detail: error.message, ...error.metadata };
    if (error.reason !== "INTERNAL") return this.#options.log.info(detail, "call refused");
    this.#options.log.error({ ...detail, err: error.cause }, "call failed");
  }
}

interface Outcome {
  readonly name: string;
  readonly context: RequestContext;
  readonly seconds: number;
  readonly error: ServiceError | undefined;
}
