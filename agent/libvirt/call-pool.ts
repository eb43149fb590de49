// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../../src/lib/clock.js";
import { withDeadline } from "../../src/lib/deadline.js";
import { MAX_CALLS_TOGETHER, MAX_QUEUED_LIBVIRT_CALLS } from "../../src/lib/limits.js";
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
 * Hands questions to the first connection that is free, in the order in which they came. A question whose caller has
 * gone is not asked; one that a worker already has is finished there and its answer dropped. Questions about single
 * domains that wait go to a worker together, since waking a thread costs more than asking libvirt once more.
 */
export class CallPool {
  readonly #takers: readonly CallTaker[];
  readonly #clock: Clock;
  readonly #queue: QueuedCall[] = [];

  constructor(takers: readonly CallTaker[], clock: Clock) {
    this.#takers = takers;
    this.#clock = clock;
  }

  /** Asks one question. Throws ServiceErrors: HYPERVISOR_UNAVAILABLE, LIMITED, CANCELLED. */
  async ask<R extends CallRequest>(request: R, options: AskOptions): Promise<Answers[R["kind"]]> {
    const expired = (): ServiceError => hypervisorUnavailable("libvirt is silent");
    const reply = await withDeadline({ ...options, clock: this.#clock, expired }, (ended) =>
      this.#enqueue(request, ended),
    );
    if (!reply.ok) throw hypervisorUnavailable(reply.failure.message);
    return (reply as WorkerReply<R["kind"]> & { ok: true }).value;
  }

  /** Gives waiting questions to connections that are free; called when one has opened. */
  pump(): void {
    for (const taker of this.#takers) {
      if (!taker.idle) continue;
      const calls = this.#takeTogether();
      if (calls.length === 0) return;
      void taker.call(requestOf(calls)).then((reply) => {
        calls.forEach(({ settle }, index) => settle(calls.length === 1 ? reply : partOf(reply, index)));
        this.pump();
      });
    }
  }

  /** The next call, with those behind it that can share its way; a fair part of them where there are more takers. */
  #takeTogether(): QueuedCall[] {
    const most = Math.min(MAX_CALLS_TOGETHER, Math.ceil(this.#queue.length / this.#takers.length));
    const other = this.#queue.slice(0, most).findIndex(({ request }) => !isAboutOneDomain(request));
    return this.#queue.splice(0, Math.max(1, other === -1 ? most : other));
  }

  /** Fails every question that no connection has taken yet. */
  failQueued(error: ServiceError): void {
    for (const call of this.#queue.splice(0)) call.fail(error);
  }

  #enqueue(request: CallRequest, ended: AbortSignal): Promise<WorkerReply> {
    if (this.#queue.length >= MAX_QUEUED_LIBVIRT_CALLS) {
      throw new ServiceError("LIMITED", "too many questions wait for the hypervisor; try again in a moment");
    }
    return new Promise((settle, fail) => {
      const call: QueuedCall = { request, settle, fail };
      ended.addEventListener("abort", () => this.#drop(call), { once: true });
      this.#queue.push(call);
      this.pump();
    });
  }

  #drop(call: QueuedCall): void {
    const at = this.#queue.indexOf(call);
    if (at !== -1) this.#queue.splice(at, 1);
  }
}

function isAboutOneDomain(request: CallRequest): boolean {
  return request.kind === "describe" && request.uuids.length === 1;
}

function requestOf(calls: readonly QueuedCall[]): CallRequest {
  const [first] = calls;
  if (calls.length === 1 && first) return first.request;
  const uuids = calls.flatMap(({ request }) => (request.kind === "describe" ? request.uuids : []));
  return { kind: "describe", uuids };
}

/** One call's part of an answer to several; a failure is everybody's. */
function partOf(reply: WorkerReply, index: number): WorkerReply {
  if (!reply.ok) return reply;
  return { ok: true, value: [(reply as WorkerReply<"describe"> & { ok: true }).value[index]] };
}
