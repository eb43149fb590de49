// SPDX-License-Identifier: Apache-2.0
import type { AgentRequest, Reply } from "../proto/gen/spicegate/agent/v1/agent.js";
import type { Clock } from "../src/lib/clock.js";
import {
  AGENT_ANSWERS_EARLY_MS,
  MAX_REQUESTS_PER_AGENT,
  MAX_REQUEST_ID_LENGTH,
  MAX_REQUEST_MS,
} from "../src/lib/limits.js";
import type { Log } from "../src/lib/log.js";
import { messageOf } from "../src/lib/message-of.js";
import { Waiters } from "../src/lib/waiters.js";
import type { AgentMetrics } from "./agent-metrics.js";
import type { FailureLog } from "./failure-log.js";
import { failure, failureNameOf } from "./messages.js";
import type { FailureName } from "./messages.js";
import type { Perform, Result } from "./operations.js";

/** What a request handler needs. */
export interface RequestHandlerOptions {
  readonly perform: Perform;
  readonly reply: (reply: Reply) => void;
  readonly metrics: AgentMetrics;
  readonly log: Log;
  readonly failureLog: FailureLog;
  readonly clock: Clock;
}

const NAMES: Record<NonNullable<AgentRequest["operation"]>["$case"], string> = {
  getSpiceEndpoint: "GetSpiceEndpoint",
  validateConsolePort: "ValidateConsolePort",
  openDisplay: "OpenDisplay",
};

/** The requests in flight on one stream: at most so many, each answered once, or not at all when it was cancelled. */
export class RequestHandler {
  readonly #options: RequestHandlerOptions;
  readonly #inFlight = new Map<bigint, AbortController>();
  #draining = false;
  readonly #idle = new Waiters();

  constructor(options: RequestHandlerOptions) {
    this.#options = options;
  }

  /** Takes a request. False: its id is already in flight, which no controller may do. */
  accept(request: AgentRequest): boolean {
    if (this.#inFlight.has(request.id)) return false;
    if (this.#draining) this.#refuse(request, "DRAINING", "the agent is stopping");
    else if (this.#inFlight.size >= MAX_REQUESTS_PER_AGENT) {
      this.#refuse(request, "LIMITED", "too many requests are in flight on this host");
    } else void this.#work(request);
    return true;
  }

  /** Stops the work on a request; it stays unanswered. Unknown and answered ids are ignored. */
  cancel(id: bigint): void {
    this.#inFlight.get(id)?.abort();
  }

  /** Stops all work: nobody can be answered any more. */
  cancelAll(): void {
    for (const work of this.#inFlight.values()) work.abort();
  }

  /** From now on every new request is refused: the agent is stopping. */
  refuseNew(): void {
    this.#draining = true;
  }

  /** Resolves when nothing is in flight. */
  async idle(): Promise<void> {
    if (this.#inFlight.size > 0) await this.#idle.wait();
  }

  async #work(request: AgentRequest): Promise<void> {
    const work = new AbortController();
    this.#inFlight.set(request.id, work);
    const began = this.#options.clock.now();
    const timeoutMs = Math.min(request.timeoutMs, MAX_REQUEST_MS);
    const ms = Math.max(timeoutMs / 2, timeoutMs - AGENT_ANSWERS_EARLY_MS);
    try {
      const result = await this.#options.perform(request.operation, { ms, signal: work.signal });
      if (work.signal.aborted) this.#count(request, "CANCELLED");
      else this.#succeed(request, result, began);
    } catch (error) {
      if (work.signal.aborted) this.#count(request, "CANCELLED");
      else this.#fail(request, error, began);
    }
    this.#inFlight.delete(request.id);
    if (this.#inFlight.size === 0) this.#idle.wake();
  }

  #succeed(request: AgentRequest, result: Result, began: number): void {
    this.#measure(request, began);
    this.#count(request, "OK");
    this.#options.log.debug(fieldsOf(request), "request answered");
    this.#options.reply({ id: request.id, result });
  }

  #fail(request: AgentRequest, error: unknown, began: number): void {
    this.#measure(request, began);
    const name = failureNameOf(error);
    const message = name === "INTERNAL" ? "a fault of the agent: its log says more" : messageOf(error);
    this.#refuse(request, name, message, error);
  }

  #refuse(request: AgentRequest, name: FailureName, message: string, error: unknown = message): void {
    this.#count(request, name);
    this.#options.failureLog.failed({ ...fieldsOf(request), reason: name, err: error });
    this.#options.reply({ id: request.id, result: { $case: "failure", failure: failure(name, message) } });
  }

  #count(request: AgentRequest, outcome: string): void {
    this.#options.metrics.requests.inc({ operation: nameOf(request), outcome });
  }

  #measure(request: AgentRequest, began: number): void {
    const seconds = (this.#options.clock.now() - began) / 1_000;
    this.#options.metrics.requestSeconds.observe({ operation: nameOf(request) }, seconds);
  }
}

function nameOf({ operation }: AgentRequest): string {
  return operation ? NAMES[operation.$case] : "unknown";
}

function fieldsOf(request: AgentRequest): { operation: string; requestId: string } {
  return { operation: nameOf(request), requestId: request.requestId.slice(0, MAX_REQUEST_ID_LENGTH) };
}
