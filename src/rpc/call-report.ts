// SPDX-License-Identifier: Apache-2.0
// What calls of every kind share: who asks, what is sent back first, one exit for errors, one log line, one metric.
import { Metadata } from "@grpc/grpc-js";
import { parseAddress } from "../lib/listen-address.js";
import { logOutcome } from "../lib/log-outcome.js";
import type { Log } from "../lib/log.js";
import type { ServiceError } from "../lib/service-error.js";
import type { ControllerMetrics } from "../telemetry/controller-metrics.js";
import type { GuardOf } from "./call-guard.js";
import { NOBODY } from "./caller.js";
import type { Callers, Credentials } from "./callers.js";
import { bearerTokenIn } from "./callers.js";
import type { RequestContext } from "./request-context.js";
import { requestIdFrom } from "./request-context.js";

/** The header that carries a request id in both directions. */
export const REQUEST_ID_HEADER = "x-request-id";

/** What a wrapper of methods needs besides the methods. */
export interface CallOptions {
  readonly callers: Pick<Callers, "admit" | "serveAnybody" | "identify">;
  readonly guardOf: GuardOf;
  readonly log: Log;
  readonly metrics: Pick<ControllerMetrics, "rpcSeconds">;
}

/** How a call ended. */
export interface CallOutcome {
  /** The RPC's own name. */
  readonly name: string;
  readonly context: RequestContext;
  readonly seconds: number;
  readonly error: ServiceError | undefined;
}

/** What is used of a call of grpc-js. */
export interface IncomingCall {
  readonly metadata: Metadata;
  getDeadline(): Date | number;
  getPeer(): string;
}

/** What the use case is told of a call, as long as nobody knows who calls. */
export function contextOf(call: IncomingCall, signal: AbortSignal): RequestContext {
  const deadline = Number(call.getDeadline());
  return {
    caller: NOBODY,
    requestId: requestIdFrom(call.metadata.get(REQUEST_ID_HEADER)[0]),
    clientAddress: parseAddress(call.getPeer())?.host ?? "",
    signal,
    // A gRPC deadline travels as a time span; grpc-js has turned it into a moment of this machine's clock.
    remainingMs: () => deadline - Date.now(),
  };
}

/** What the caller shows. */
export function credentialsOf({ metadata }: IncomingCall, { clientAddress: address }: RequestContext): Credentials {
  return { token: bearerTokenIn(metadata.get("authorization")[0]?.toString()), address };
}

/** The header of an answer. */
export function headerOf({ requestId }: RequestContext): Metadata {
  const header = new Metadata();
  header.set(REQUEST_ID_HEADER, requestId);
  return header;
}

/** Writes down how a call ended. */
export function reportCall({ metrics, log }: CallOptions, { name, context, seconds, error }: CallOutcome): void {
  const reason = error?.reason ?? "OK";
  metrics.rpcSeconds.observe({ method: name, reason }, seconds);
  const { requestId, caller, clientAddress: client } = context;
  const fields = { method: name, reason, requestId, subject: caller.subject, client };
  logOutcome(log, { what: "call", problem: error, seconds }, fields);
}
