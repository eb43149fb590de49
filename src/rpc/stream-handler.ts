// SPDX-License-Identifier: Apache-2.0
// What every call goes through whose answer is a stream. The method yields the messages; the next one is asked for when
// the connection has taken the one before, so that what a slow caller has not read waits where the method can bound it.
import type { handleServerStreamingCall, ServerWritableStream } from "@grpc/grpc-js";
import type { Clock } from "../lib/clock.js";
import { systemClock } from "../lib/clock.js";
import { pause, waitAtMost } from "../lib/deadline.js";
import { draining } from "../lib/draining.js";
import type { Part } from "../lib/lifecycle.js";
import { CALLER_RECHECK_MS, WATCHER_READS_MS } from "../lib/limits.js";
import { ServiceError } from "../lib/service-error.js";
import type { CallGuard, NamedMethod } from "./call-guard.js";
import { ownName } from "./call-guard.js";
import type { CallOptions } from "./call-report.js";
import type { Caller } from "./caller.js";
import { contextOf, credentialsOf, headerOf, reportCall } from "./call-report.js";
import { MalformedMessage } from "./malformed-message.js";
import type { RequestContext } from "./request-context.js";
import { serviceErrorFrom } from "./service-error-from.js";
import { statusFromError } from "./status-from-error.js";

/** Decodes, calls one use case, encodes each of its steps. It ends when the context's signal aborts. */
export type StreamMethod<Request, Response> = (request: Request, context: RequestContext) => AsyncIterable<Response>;

/** Throws what keeps the caller out now. */
type Admit = (signal: AbortSignal) => Promise<void>;

interface Guarded<Request, Response> {
  readonly name: string;
  readonly guard: CallGuard;
  readonly method: StreamMethod<Request, Response>;
}

/**
 * Wraps methods into grpc-js handlers that share one set of options. Stop ends the streams that run with DRAINING, so
 * that their callers begin anew elsewhere, and refuses new ones.
 */
export class StreamHandlers implements Part {
  readonly #options: CallOptions;
  readonly #clock: Clock;
  readonly #running = new Map<AbortController, Promise<void>>();
  #draining = false;

  constructor(options: CallOptions, clock: Clock = systemClock) {
    this.#options = options;
    this.#clock = clock;
  }

  /** Nothing to start: calls come by themselves. */
  start(): void {
    this.#draining = false;
  }

  /** Resolves when every caller has been told. Twice is harmless. */
  async stop(): Promise<void> {
    this.#draining = true;
    for (const gone of this.#running.keys()) gone.abort(draining());
    await Promise.all(this.#running.values());
  }

  /** A handler for a method of a service. Throws where the method has no rule that says who may call it. */
  handle<Request, Response>(
    { path }: NamedMethod<Request, Response>,
    method: StreamMethod<Request, Response>,
  ): handleServerStreamingCall<Request, Response> {
    const guarded = { name: ownName(path), guard: this.#options.guardOf(path), method };
    return (call) => {
      const gone = new AbortController();
      const onCancelled = (): void => gone.abort();
      call.on("cancelled", onCancelled);
      const running = this.#serve(guarded, call, gone).finally(() => {
        call.off("cancelled", onCancelled);
        this.#running.delete(gone);
      });
      this.#running.set(gone, running);
    };
  }

  async #serve<Request, Response>(
    guarded: Guarded<Request, Response>,
    call: ServerWritableStream<Request, Response>,
    gone: AbortController,
  ): Promise<void> {
    const startedAt = performance.now();
    let context = contextOf(call, gone.signal);
    const credentials = credentialsOf(call, context);
    call.sendMetadata(headerOf(context));
    const { guard, method } = guarded;
    const { callers } = this.#options;
    const admit = async (caller: Promise<Caller>): Promise<void> => {
      context = { ...context, caller: await caller };
      await guard.admit(context, call.request);
    };
    const serve = async (): Promise<void> => {
      if (this.#draining) throw draining();
      await admit(callers.admit(credentials, context));
      const again = (signal: AbortSignal): Promise<void> => admit(callers.identify(credentials, signal));
      await this.#whileAdmitted(again, gone, () => this.#send(method, call, context));
    };
    const error = await serve().then(() => undefined, serviceErrorFrom);
    if (error) call.emit("error", statusFromError(error));
    else call.end();
    reportCall(this.#options, { name: guarded.name, context, seconds: (performance.now() - startedAt) / 1_000, error });
  }

  async #send<Request, Response>(
    method: StreamMethod<Request, Response>,
    call: ServerWritableStream<Request, Response>,
    context: RequestContext,
  ): Promise<void> {
    const request: Request | MalformedMessage = call.request;
    if (request instanceof MalformedMessage) throw request.error;
    for await (const message of method(request, context)) {
      if (!call.write(message)) await this.#taken(call, context.signal);
    }
  }

  /**
   * A stream may last longer than what its caller has shown, or than the policy that let it in: it ends with the reason for
   * which it would not begin any more.
   */
  async #whileAdmitted(admit: Admit, gone: AbortController, work: () => Promise<void>): Promise<void> {
    const over = new AbortController();
    void this.#recheck(admit, gone, over.signal);
    try {
      await work();
    } finally {
      over.abort();
    }
  }

  async #recheck(admit: Admit, gone: AbortController, over: AbortSignal): Promise<void> {
    while (await pause(CALLER_RECHECK_MS, over, this.#clock)) {
      try {
        await admit(over);
      } catch (error) {
        gone.abort(error);
        return;
      }
    }
  }

  /** Resolves when the connection has taken what was written; LIMITED where the caller does not read. */
  #taken(call: ServerWritableStream<unknown, unknown>, signal: AbortSignal): Promise<void> {
    const expired = (): ServiceError => new ServiceError("LIMITED", "the caller does not read what it is sent");
    let onDrain: () => void = () => undefined;
    return waitAtMost({ ms: WATCHER_READS_MS, expired, signal, clock: this.#clock }, () => {
      return new Promise<void>((resolve) => {
        onDrain = resolve;
        call.once("drain", onDrain);
      });
    }).finally(() => call.off("drain", onDrain));
  }
}
