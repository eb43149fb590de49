// SPDX-License-Identifier: Apache-2.0
import type { Socket } from "node:net";
import { Backoff } from "../../src/lib/backoff.js";
import type { Clock } from "../../src/lib/clock.js";
import { systemClock } from "../../src/lib/clock.js";
import { pause, withDeadline } from "../../src/lib/deadline.js";
import {
  LIBVIRT_BACKOFF,
  LIBVIRT_OPEN_MS,
  LIBVIRT_PAGE_DOMAINS,
  LIBVIRT_REOPEN_MS,
  MAX_DOMAINS_PER_HOST,
} from "../../src/lib/limits.js";
import type { Log } from "../../src/lib/log.js";
import { messageOf } from "../../src/lib/message-of.js";
import { ServiceError } from "../../src/lib/service-error.js";
import type { AskOptions, DomainChange, DomainDescription, Hypervisor, HypervisorStatus } from "../hypervisor.js";
import type { Ending } from "./call-connection.js";
import { CallConnection } from "./call-connection.js";
import { CallPool } from "./call-pool.js";
import { EventConnection } from "./event-connection.js";
import { closeUnclaimed, socketFromGraphics } from "./graphics-socket.js";
import { hypervisorUnavailable } from "./libvirt-failure.js";
import { LibvirtSockets } from "./libvirt-sockets.js";
import type { DomainAnswer, DomainQuestion } from "./messages.js";
import { loadLibc } from "./native.js";
import { RunningDomains } from "./running-domains.js";

const DEFAULT_READERS = 2;
const OPENERS = 2;
const NOT_YET: HypervisorStatus = { available: false, info: undefined, detail: "not connected yet" };

/** What a libvirt hypervisor is made of. */
export interface LibvirtOptions {
  /** libvirt's connection URI, for example qemu:///system. */
  readonly uri: string;
  readonly log: Log;
  readonly clock?: Clock;
  /** How many connections answer questions, so how many can be answered at once. */
  readonly readers?: number;
}

/** Leaves the process at once, even while a worker is stuck inside libvirt; no exit hook runs. */
export function exitNow(code: number): void {
  loadLibc().exitNow(code);
}

/**
 * The hypervisor through libvirt: one connection for events, some for questions (readers), some for opening displays
 * (openers), since a guest that hangs blocks whoever opens its display; all inside worker threads, so that the main
 * thread never waits for libvirt. This file keeps them connected; it knows nothing of C. One per process, since
 * libvirt's event loop is one per process. `start` fails only where libvirt's library is missing.
 */
export class LibvirtHypervisor implements Hypervisor {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #events: EventConnection;
  readonly #readers: readonly CallConnection[];
  readonly #openers: readonly CallConnection[];
  /** All of them, in the order of opening. */
  readonly #connections: readonly (EventConnection | CallConnection)[];
  readonly #pool: CallPool;
  readonly #openerPool: CallPool;
  readonly #running = new RunningDomains();
  readonly #onStatus = new Set<(status: HypervisorStatus) => void>();
  readonly #onChange = new Set<(change: DomainChange) => void>();
  readonly #stop = new AbortController();
  #status = NOT_YET;
  #wakeUp: () => void = () => undefined;
  #connecting: Promise<void> = Promise.resolve();
  #stopped: Promise<void> | undefined;

  constructor({ uri, log, clock = systemClock, readers = DEFAULT_READERS }: LibvirtOptions) {
    this.#log = log;
    this.#clock = clock;
    const options = { uri, log, clock, sockets: new LibvirtSockets(uri, clock) };
    this.#events = new EventConnection(options, {
      onChange: (change) => this.#changed(change),
      onLost: (failure) => this.#lost(failure.message),
    });
    this.#readers = Array.from(
      { length: readers },
      () => new CallConnection(options, (ending, failure) => this.#readerEnded(ending, failure.message)),
    );
    this.#openers = Array.from(
      { length: OPENERS },
      () => new CallConnection(options, (ending, failure) => this.#openerEnded(ending, failure.message)),
    );
    this.#connections = [this.#events, ...this.#readers, ...this.#openers];
    this.#pool = new CallPool(this.#readers, clock);
    this.#openerPool = new CallPool(this.#openers, clock);
  }

  /** Workers that are stuck inside libvirt for good. Where there are any, only exitNow ends the process. */
  get abandonedWorkers(): number {
    return this.#connections.reduce((sum, connection) => sum + connection.abandoned, 0);
  }

  async start(): Promise<void> {
    await this.#events.start();
    this.#connecting = this.#keepConnected();
  }

  /** Ends all workers; questions still open fail. A second call waits for the first. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stopAll();
    return this.#stopped;
  }

  status(): HypervisorStatus {
    return this.#status;
  }

  onStatus(listener: (status: HypervisorStatus) => void): () => void {
    this.#onStatus.add(listener);
    return () => this.#onStatus.delete(listener);
  }

  onChange(listener: (change: DomainChange) => void): () => void {
    this.#onChange.add(listener);
    return () => this.#onChange.delete(listener);
  }

  async describe(uuid: string, options: AskOptions): Promise<DomainDescription> {
    const [answer] = await this.#describeMany([{ uuid, runs: this.#running.has(uuid) }], options);
    if (!answer) throw new ServiceError("INSTANCE_NOT_FOUND", "there is no such domain on this host");
    if (answer.problem !== undefined) {
      throw new ServiceError("INTERNAL", "the domain's description cannot be read", { cause: answer.problem });
    }
    return answer.domain;
  }

  /** Asks in pages, so that questions about one domain need not wait for all of a large host. */
  describeAll(options: AskOptions): Promise<readonly DomainDescription[]> {
    const expired = (): ServiceError => hypervisorUnavailable("listing the domains takes too long");
    return withDeadline({ ...options, clock: this.#clock, expired }, async (signal) => {
      this.#requireAvailable();
      const uuids = await this.#pool.ask({ kind: "list" }, { ms: options.ms, signal });
      if (uuids.length > MAX_DOMAINS_PER_HOST) {
        throw new ServiceError("LIMITED", `the host has more than ${MAX_DOMAINS_PER_HOST} domains`);
      }
      const domains: DomainDescription[] = [];
      for (let from = 0; from < uuids.length; from += LIBVIRT_PAGE_DOMAINS) {
        const page = uuids.slice(from, from + LIBVIRT_PAGE_DOMAINS).map((uuid) => ({ uuid, runs: false }));
        for (const answer of await this.#describeMany(page, { ms: options.ms, signal })) {
          if (answer) domains.push(this.#noted(answer));
        }
      }
      return domains;
    });
  }

  async openDisplay(uuid: string, index: number, options: AskOptions): Promise<Socket | undefined> {
    this.#requireAvailable();
    return socketFromGraphics(
      await this.#openerPool.ask({ kind: "openGraphics", uuid, index }, options, closeUnclaimed),
    );
  }

  async #describeMany(
    domains: readonly DomainQuestion[],
    options: AskOptions,
  ): Promise<readonly (DomainAnswer | undefined)[]> {
    this.#requireAvailable();
    const { moment } = this.#running;
    const answers = await this.#pool.ask({ kind: "describe", domains }, options);
    for (const answer of answers) if (answer) this.#running.saw(answer.domain, moment);
    return answers;
  }

  /** A domain that cannot be read is still there, so it stays in the list. */
  #noted({ domain, problem }: DomainAnswer): DomainDescription {
    if (problem !== undefined) this.#log.warn({ instance: domain.uuid, problem }, "a domain cannot be read");
    return domain;
  }

  #requireAvailable(): void {
    if (!this.#status.available) throw hypervisorUnavailable(this.#status.detail);
  }

  /** Keeps all connections open until the stop. What does not last is tried again more and more slowly. */
  async #keepConnected(): Promise<void> {
    const { signal } = this.#stop;
    const backoff = new Backoff(LIBVIRT_BACKOFF);
    while (!signal.aborted) {
      const begun = this.#clock.now();
      try {
        await this.#connect();
        await this.#untilOneEnds();
      } catch (error) {
        this.#lost(messageOf(error));
      }
      if (this.#clock.now() - begun > LIBVIRT_BACKOFF.mostMs) backoff.reset();
      if (!this.#status.available) await pause(backoff.next(), signal, this.#clock);
    }
  }

  /** Opens whatever is not open, one at a time, as the sockets require. */
  async #connect(): Promise<void> {
    for (const connection of this.#connections) if (!connection.isOpen) await connection.open();
    this.#pool.pump();
    this.#openerPool.pump();
    if (this.#status.available) return;
    const info = await this.#pool.ask({ kind: "info" }, { ms: LIBVIRT_OPEN_MS, signal: this.#stop.signal });
    if (this.#allOpen()) this.#setStatus({ available: true, info, detail: "" });
  }

  #allOpen(): boolean {
    return this.#connections.every((connection) => connection.isOpen);
  }

  #untilOneEnds(): Promise<void> {
    if (!this.#allOpen() || this.#stop.signal.aborted) return Promise.resolve();
    return new Promise((resolve) => (this.#wakeUp = resolve));
  }

  /** A reader that was cut is opened again at once, and only where that takes long is libvirt given up. */
  #readerEnded(ending: Ending, message: string): void {
    if (ending === "lost") {
      this.#lost(message);
      return;
    }
    this.#clock.after(LIBVIRT_REOPEN_MS, () => {
      if (!this.#readers.every((reader) => reader.isOpen)) this.#lost("libvirt is silent");
    });
    this.#wakeUp();
  }

  /** An opener that was cut waited for a guest: that says nothing of libvirt, and only it is opened again. */
  #openerEnded(ending: Ending, message: string): void {
    if (ending === "lost") this.#lost(message);
    else this.#wakeUp();
  }

  /** Any loss means that events were missed and other connections may be dead: all are opened anew. */
  #lost(detail: string): void {
    if (this.#stop.signal.aborted) return;
    for (const connection of this.#connections) connection.expire();
    this.#running.clear();
    this.#setStatus({ available: false, info: this.#status.info, detail });
    this.#failQueued(detail);
    this.#wakeUp();
  }

  #setStatus(status: HypervisorStatus): void {
    // Of a start that finds no libvirt the first failure is news; the same one again is not.
    const isNews = this.#status === NOT_YET || status.available !== this.#status.available;
    this.#status = status;
    if (!isNews) return;
    if (status.available) this.#log.info({ hypervisor: status.info }, "libvirt is available");
    else this.#log.warn({ detail: status.detail }, "libvirt is not available");
    for (const listener of this.#onStatus) listener(status);
  }

  #failQueued(detail: string): void {
    for (const pool of [this.#pool, this.#openerPool]) pool.failQueued(hypervisorUnavailable(detail));
  }

  #changed(change: DomainChange): void {
    this.#running.changed(change.uuid);
    for (const listener of this.#onChange) listener(change);
  }

  async #stopAll(): Promise<void> {
    this.#status = { available: false, info: this.#status.info, detail: "the agent is stopping" };
    this.#stop.abort();
    this.#wakeUp();
    this.#failQueued(this.#status.detail);
    // The loop goes last: closing a connection needs it.
    await Promise.all([...this.#readers, ...this.#openers].map((connection) => connection.stop()));
    await this.#events.stop();
    await this.#connecting;
  }
}
