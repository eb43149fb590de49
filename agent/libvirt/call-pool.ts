// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../../src/lib/clock.js";
import { waitAtMost } from "../../src/lib/deadline.js";
import { MAX_QUESTIONS_TOGETHER, MAX_QUEUED_LIBVIRT_CALLS } from "../../src/lib/limits.js";
import { ServiceError } from "../../src/lib/service-error.js";
import type { AskOptions } from "../hypervisor.js";
import { hypervisorUnavailable } from "./libvirt-failure.js";
import type { Answers, CallRequest, WorkerReply } from "./messages.js";

/** What does calls, one at a time. */
export interface CallTaker {
  /** True when it can take a call now. */
  readonly idle: boolean;
  /** Does a call; only while idle. Failures are returned, not thrown. */
  call<R extends CallRequest>(request: R): Promise<WorkerReply<R["kind"]>>;
}

interface QueuedCall {
  readonly request: CallRequest;
  readonly settle: (reply: WorkerReply) => void;
  readonly fail: (error: ServiceError) => void;
}

/**
 * Hands questions to the first connection that is free, in the order in which they came. While all are busy, questions
 * about single domains gather and then go together: waking a worker costs more than such a question. A question whose
 * caller has gone is not asked; one that a worker already has is finished there and its answer dropped. The displays of
 * one domain are opened one after the other, so that a guest that hangs holds one connection and not all.
 */
export class CallPool {
  readonly #takers: readonly CallTaker[];
  readonly #clock: Clock;
  readonly #queue: QueuedCall[] = [];
  /** The domains of which a display is being opened. */
  readonly #opening = new Set<string>();

  constructor(takers: readonly CallTaker[], clock: Clock) {
    this.#takers = takers;
    this.#clock = clock;
  }

  /**
   * Asks one question. Throws ServiceErrors: HYPERVISOR_UNAVAILABLE, LIMITED, CANCELLED. `unclaimed` gets the answer
   * that comes after that, for those that must not be lost.
   */
  async ask<R extends CallRequest>(
    request: R,
    options: AskOptions,
    unclaimed: (answer: Answers[R["kind"]]) => void = () => undefined,
  ): Promise<Answers[R["kind"]]> {
    const reply = await this.#answer(request, options, (late) => {
      if (late.ok) unclaimed(late.value as Answers[R["kind"]]);
    });
    if (!reply.ok) throw hypervisorUnavailable(reply.failure.message);
    return (reply as WorkerReply<R["kind"]> & { ok: true }).value;
  }

  /** Gives waiting questions to connections that are free; called when one has opened. */
  pump(): void {
    for (const taker of this.#takers) {
      if (!taker.idle) continue;
      const [first, ...others] = this.#takeAskable();
      if (!first) return;
      const calls = [first, ...others] as const;
      const { request } = first;
      if (request.kind === "openGraphics") this.#opening.add(request.uuid);
      void taker.call(requestFor(calls)).then((reply) => {
        if (request.kind === "openGraphics") this.#opening.delete(request.uuid);
        settleEach(calls, reply);
        this.pump();
      });
    }
  }

  /** Fails every question that no connection has taken yet. */
  failQueued(error: ServiceError): void {
    for (const call of this.#queue.splice(0)) call.fail(error);
  }

  async #answer(
    request: CallRequest,
    options: AskOptions,
    unclaimed: (reply: WorkerReply) => void,
  ): Promise<WorkerReply> {
    const expired = (): ServiceError => hypervisorUnavailable("libvirt is silent");
    let call: QueuedCall | undefined;
    let reply: Promise<WorkerReply> | undefined;
    try {
      return await waitAtMost({ ...options, clock: this.#clock, expired }, () => {
        reply = new Promise<WorkerReply>((settle, fail) => {
          call = { request, settle, fail };
          this.#enqueue(call);
        });
        return reply;
      });
    } catch (error) {
      if (call) this.#drop(call);
      reply?.then(unclaimed, () => undefined);
      throw error;
    }
  }

  #enqueue(call: QueuedCall): void {
    if (this.#queue.length >= MAX_QUEUED_LIBVIRT_CALLS) {
      throw new ServiceError("LIMITED", "too many questions wait for the hypervisor; try again in a moment");
    }
    this.#queue.push(call);
    this.pump();
  }

  #drop(call: QueuedCall): void {
    const at = this.#queue.indexOf(call);
    if (at !== -1) this.#queue.splice(at, 1);
  }

  /** Takes those that go to a worker next: the first that may be asked now, and what can be asked together with it. */
  #takeAskable(): QueuedCall[] {
    const first = this.#queue.findIndex(({ request }) => !this.#mustWait(request));
    if (first === -1) return [];
    return this.#queue.splice(first, first === 0 ? this.#askableTogether() : 1);
  }

  #mustWait(request: CallRequest): boolean {
    return request.kind === "openGraphics" && this.#opening.has(request.uuid);
  }

  /** How many of those that wait first go to a worker at once: one of any kind, or some about one domain each. */
  #askableTogether(): number {
    const other = this.#queue.findIndex(({ request }) => !isAboutOneDomain(request));
    const alike = other === -1 ? this.#queue.length : other;
    return Math.min(Math.max(1, alike), MAX_QUESTIONS_TOGETHER);
  }
}

function isAboutOneDomain(request: CallRequest): boolean {
  return request.kind === "describe" && request.domains.length === 1;
}

function requestFor(calls: readonly [QueuedCall, ...QueuedCall[]]): CallRequest {
  const [{ request }, ...others] = calls;
  if (others.length === 0) return request;
  const domains = calls.flatMap((call) => (call.request.kind === "describe" ? call.request.domains : []));
  return { kind: "describe", domains };
}

/** Gives each call its own part of the reply. */
function settleEach(calls: readonly QueuedCall[], reply: WorkerReply): void {
  const parts = reply.ok && calls.length > 1 ? (reply.value as Answers["describe"]) : undefined;
  calls.forEach(({ settle }, index) => settle(parts ? { ok: true, value: [parts[index]] } : reply));
}
