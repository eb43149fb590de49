// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../../src/lib/clock.js";
import { withDeadline } from "../../src/lib/deadline.js";
import { MAX_QUEUED_LIBVIRT_CALLS } from "../../src/lib/limits.js";
import { ServiceError } from "../../src/lib/service-error.js";
import type { AskOptions } from "../hypervisor.js";
import type { CallConnection } from "./call-connection.js";
import { hypervisorUnavailable } from "./libvirt-failure.js";
import type { Answers, CallRequest, WorkerReply } from "./messages.js";

interface QueuedCall {
  readonly request: CallRequest;
  readonly settle: (reply: WorkerReply) => void;
  readonly fail: (error: ServiceError) => void;
}

/**
 * Hands questions to the first connection that is free, in the order in which they came. A question whose caller has
 * gone is not asked; one that a worker already has is finished there and its answer dropped.
 */
export class CallPool {
  readonly #connections: readonly CallConnection[];
  readonly #clock: Clock;
  readonly #queue: QueuedCall[] = [];

  constructor(connections: readonly CallConnection[], clock: Clock) {
    this.#connections = connections;
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
    for (const connection of this.#connections) {
      if (!connection.idle) continue;
      const call = this.#queue.shift();
      if (!call) return;
      void connection.call(call.request).then((reply) => {
        call.settle(reply);
        this.pump();
      });
    }
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
