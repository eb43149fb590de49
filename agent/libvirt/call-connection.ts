// SPDX-License-Identifier: Apache-2.0
import { Worker } from "node:worker_threads";
import type { Clock } from "../../src/lib/clock.js";
import { pause } from "../../src/lib/deadline.js";
import { LIBVIRT_CALL_MS, LIBVIRT_OPEN_MS, LIBVIRT_STOP_GRACE_MS } from "../../src/lib/limits.js";
import type { Log } from "../../src/lib/log.js";
import type { CallTaker } from "./call-pool.js";
import type { LibvirtSockets } from "./libvirt-sockets.js";
import { HypervisorLost } from "./libvirt-failure.js";
import type { CallRequest, CallWorkerData, LibvirtFailure, WorkerReply, WorkerRequest } from "./messages.js";

/** What a connection is made of. */
export interface ConnectionOptions {
  readonly uri: string;
  readonly sockets: LibvirtSockets;
  readonly clock: Clock;
  readonly log: Log;
}

/** How a connection ended: by itself, or because its worker had to be freed from a call that took too long. */
export type Ending = "lost" | "cut";

const CUT: LibvirtFailure = { code: 0, message: "libvirt took too long", lost: true };
const GONE: LibvirtFailure = { code: 0, message: "the libvirt worker is gone", lost: true };

/**
 * One call worker and its connection, seen from the main thread. It does one call at a time. A call that takes longer
 * than LIBVIRT_CALL_MS, whatever its caller's deadline, loses the connection, so that the worker comes free.
 */
export class CallConnection implements CallTaker {
  readonly #options: ConnectionOptions;
  readonly #onEnd: (ending: Ending, failure: LibvirtFailure) => void;
  #worker: Worker | undefined;
  #exited: Promise<void> = Promise.resolve();
  #exchange: { readonly reply: Promise<WorkerReply>; readonly settle: (reply: WorkerReply) => void } | undefined;
  #isOpen = false;
  #cut = false;
  #stopping = false;
  /** Workers that never came back from libvirt. With one of these only exitNow ends the process. */
  abandoned = 0;

  constructor(options: ConnectionOptions, onEnd: (ending: Ending, failure: LibvirtFailure) => void) {
    this.#options = options;
    this.#onEnd = onEnd;
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** True when it can take a call now. */
  get idle(): boolean {
    return this.#isOpen && !this.#exchange;
  }

  /** Opens the connection, after closing the one before. Throws HypervisorLost; never takes much over LIBVIRT_OPEN_MS. */
  async open(): Promise<void> {
    await this.#exchange?.reply;
    const { sockets } = this.#options;
    sockets.opening(this);
    const reply = await this.#send({ kind: "open" }, LIBVIRT_OPEN_MS);
    sockets.opened(this);
    if (!reply.ok) throw new HypervisorLost(reply.failure);
    if (this.#cut) throw new HypervisorLost(CUT);
    this.#isOpen = true;
  }

  /** Does one call; only while idle. Failures are returned, not thrown. */
  async call<R extends CallRequest>(request: R): Promise<WorkerReply<R["kind"]>> {
    const reply = await this.#send(request, LIBVIRT_CALL_MS);
    if (this.#cut) this.#end("cut", CUT);
    else if (!reply.ok && reply.failure.lost) this.#end("lost", reply.failure);
    return reply as WorkerReply<R["kind"]>;
  }

  /** Takes an open connection for lost, because another one was; a call in it ends now. */
  expire(): void {
    if (this.#isOpen && this.#exchange) void this.#free(this.#exchange.reply);
    this.#isOpen = false;
  }

  /** Ends the worker, by force where it does not end by itself. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#isOpen = false;
    const { sockets, clock, log } = this.#options;
    this.#worker?.postMessage({ kind: "close" } satisfies WorkerRequest);
    const early = await Promise.race([
      this.#exited.then(() => true),
      pause(LIBVIRT_STOP_GRACE_MS, undefined, clock).then(() => false),
    ]);
    if (!early && !(await sockets.free(this, this.#exited))) {
      this.abandoned += 1;
      log.error("a libvirt worker did not end; the process has to be left at once");
    }
    sockets.forget(this);
  }

  #end(ending: Ending, failure: LibvirtFailure): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#onEnd(ending, failure);
  }

  async #send(request: WorkerRequest, ms: number): Promise<WorkerReply> {
    if (this.#stopping) return { ok: false, failure: GONE };
    this.#worker ??= this.#spawn();
    let settle: (reply: WorkerReply) => void = () => undefined;
    const reply = new Promise<WorkerReply>((resolve) => (settle = resolve));
    this.#exchange = { reply, settle };
    this.#cut = false;
    this.#worker.postMessage(request);
    const cancel = this.#options.clock.after(ms, () => void this.#free(reply));
    try {
      return await reply;
    } finally {
      cancel();
      this.#exchange = undefined;
    }
  }

  async #free(reply: Promise<WorkerReply>): Promise<void> {
    this.#cut = true;
    if (!(await this.#options.sockets.free(this, reply))) this.#abandon();
  }

  /** Last resort: forgets the worker, which ends by itself should it ever come back. */
  #abandon(): void {
    const worker = this.#worker;
    if (!worker) return;
    this.abandoned += 1;
    this.#options.log.error("a libvirt worker is stuck and was given up");
    worker.postMessage({ kind: "close" } satisfies WorkerRequest);
    worker.unref();
    this.#worker = undefined;
    this.#exited = Promise.resolve();
    this.#exchange?.settle({ ok: false, failure: GONE });
  }

  #spawn(): Worker {
    const workerData: CallWorkerData = { uri: this.#options.uri };
    const worker = new Worker(new URL("./call-worker.js", import.meta.url), { workerData, name: "libvirt-call" });
    worker.on("message", (reply: WorkerReply) => {
      if (worker === this.#worker) this.#exchange?.settle(reply);
    });
    worker.on("error", (error) => this.#options.log.error({ err: error }, "a libvirt worker failed"));
    this.#exited = new Promise((resolve) => {
      worker.on("exit", () => {
        resolve();
        if (worker !== this.#worker) return;
        this.#worker = undefined;
        this.#exchange?.settle({ ok: false, failure: GONE });
        this.#end("lost", GONE);
      });
    });
    return worker;
  }
}
