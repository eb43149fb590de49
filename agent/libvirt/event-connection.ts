// SPDX-License-Identifier: Apache-2.0
import { Worker } from "node:worker_threads";
import { pause } from "../../src/lib/deadline.js";
import { LIBVIRT_OPEN_MS, LIBVIRT_STOP_GRACE_MS } from "../../src/lib/limits.js";
import type { DomainChange } from "../hypervisor.js";
import type { ConnectionOptions } from "./call-connection.js";
import { HypervisorLost } from "./libvirt-failure.js";
import type { EventReport, EventWorkerData, LibvirtFailure } from "./messages.js";
import { OPEN_FLAG, STOP_FLAG } from "./messages.js";
import { loadLibc, loadLibvirt } from "./native.js";

/** Who hears of events. */
export interface EventListeners {
  readonly onChange: (change: DomainChange) => void;
  readonly onLost: (failure: LibvirtFailure) => void;
}

const STUCK: LibvirtFailure = { code: 0, message: "libvirt does not let the event worker go", lost: true };
const ENDED: LibvirtFailure = { code: 0, message: "libvirt's event loop has ended; restart the agent", lost: true };

/** libvirt has one event loop per process. */
let loopTaken = false;

/**
 * The event worker and its connection, seen from the main thread. Its loop must run before any connection of the
 * process opens, and as long as one is open.
 */
export class EventConnection {
  readonly #options: ConnectionOptions;
  readonly #listeners: EventListeners;
  readonly #flags = new Int32Array(new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT));
  readonly #onProcessExit = (): void => this.#leaveNow();
  #worker: Worker | undefined;
  #exited: Promise<void> = Promise.resolve();
  #timer = -1;
  #isOpen = false;
  #settle: (failure: LibvirtFailure | undefined) => void = () => undefined;
  /** 1 where the worker never came back from libvirt; then only exitNow ends the process. */
  abandoned = 0;

  constructor(options: ConnectionOptions, listeners: EventListeners) {
    this.#options = options;
    this.#listeners = listeners;
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Starts the loop and resolves when it runs. Throws where libvirt is missing or another loop runs. */
  async start(): Promise<void> {
    const libvirt = loadLibvirt();
    if (loopTaken) throw new Error("libvirt's event loop runs already; a process can have only one");
    loopTaken = true;
    // Without a handler libvirt prints every error; one in JavaScript would make workers wait for the main thread.
    libvirt.setErrorFunc(null, loadLibc().nothing);
    libvirt.eventRegisterDefaultImpl();
    process.on("exit", this.#onProcessExit);
    await this.#spawn();
  }

  /** Opens the connection and subscribes, after closing the one before. Throws HypervisorLost. */
  async open(): Promise<void> {
    if (!this.#worker) throw new HypervisorLost(ENDED);
    const { sockets, clock } = this.#options;
    sockets.opening(this);
    const outcome = new Promise<LibvirtFailure | undefined>((resolve) => (this.#settle = resolve));
    Atomics.store(this.#flags, OPEN_FLAG, 1);
    this.#wake();
    const cancel = clock.after(LIBVIRT_OPEN_MS, () => void this.#free(outcome));
    const failure = await outcome;
    cancel();
    sockets.opened(this);
    if (failure) throw new HypervisorLost(failure);
    this.#isOpen = true;
  }

  /** Takes the connection for lost, because another one was. */
  expire(): void {
    this.#isOpen = false;
  }

  /** Ends the loop, by force where libvirt does not let it go. */
  async stop(): Promise<void> {
    const { sockets, clock, log } = this.#options;
    if (!this.#worker) return;
    this.#isOpen = false;
    Atomics.store(this.#flags, STOP_FLAG, 1);
    this.#wake();
    const early = await Promise.race([
      this.#exited.then(() => true),
      pause(LIBVIRT_STOP_GRACE_MS, undefined, clock).then(() => false),
    ]);
    if (early || (await sockets.free(this, this.#exited))) return;
    this.abandoned = 1;
    log.error("libvirt's event loop did not end; the process has to be left at once");
  }

  async #free(outcome: Promise<unknown>): Promise<void> {
    if (!(await this.#options.sockets.free(this, outcome))) this.#settle(STUCK);
  }

  /** Lets libvirt's loop come round, so that the worker sees its flags. Safe from any thread. */
  #wake(): void {
    if (this.#timer !== -1) loadLibvirt().eventUpdateTimeout(this.#timer, 0);
  }

  /** process.exit, also after an uncaught exception, waits for workers for ever: none may stay inside libvirt. */
  #leaveNow(): void {
    Atomics.store(this.#flags, STOP_FLAG, 1);
    this.#wake();
    this.#options.sockets.cutAll();
  }

  #spawn(): Promise<void> {
    const workerData: EventWorkerData = { uri: this.#options.uri, flags: this.#flags };
    const worker = new Worker(new URL("./event-worker.js", import.meta.url), { workerData, name: "libvirt-events" });
    this.#worker = worker;
    return new Promise((resolve, reject) => {
      worker.on("message", (report: EventReport) => this.#receive(report, resolve));
      worker.on("error", (error) => {
        this.#options.log.fatal({ err: error }, "libvirt's event loop failed");
        reject(error);
      });
      this.#exited = new Promise((exited) => {
        worker.on("exit", () => {
          this.#afterExit();
          exited();
          reject(new Error(ENDED.message));
        });
      });
    });
  }

  #afterExit(): void {
    const wasOpen = this.#isOpen;
    this.#worker = undefined;
    this.#timer = -1;
    this.#isOpen = false;
    loopTaken = false;
    this.#options.sockets.forget(this);
    process.off("exit", this.#onProcessExit);
    this.#settle(ENDED);
    if (wasOpen) this.#listeners.onLost(ENDED);
  }

  #receive(report: EventReport, running: () => void): void {
    switch (report.kind) {
      case "running":
        this.#timer = report.timer;
        running();
        break;
      case "opened":
        this.#settle(undefined);
        break;
      case "failed":
        this.#settle(report.failure);
        break;
      case "lost":
        this.#isOpen = false;
        this.#listeners.onLost(report.failure);
        break;
      case "change":
        this.#listeners.onChange(report.change);
        break;
    }
  }
}
