// SPDX-License-Identifier: Apache-2.0
import type { Socket } from "node:net";
import type {
  AskOptions,
  DomainChange,
  DomainDescription,
  Hypervisor,
  HypervisorInfo,
  HypervisorStatus,
} from "../../agent/hypervisor.js";
import type { Clock } from "../../src/lib/clock.js";
import { systemClock } from "../../src/lib/clock.js";
import { withDeadline } from "../../src/lib/deadline.js";
import { ServiceError } from "../../src/lib/service-error.js";

/** The host that a fake hypervisor is, unless a test says otherwise. */
export const FAKE_INFO: HypervisorInfo = {
  libvirtVersion: "9.0.0",
  hypervisorVersion: "7.2.22",
  spice: true,
  vnc: true,
  graphicsFd: true,
};

type Answer = { readonly kind: "error"; readonly error: ServiceError } | { readonly kind: "never" };

/**
 * A hypervisor in memory. Tests put domains in it, and say which of the next questions fail or stay unanswered; a
 * question that stays unanswered still ends at its deadline or with its signal, as the real one's does.
 */
export class FakeHypervisor implements Hypervisor {
  readonly #domains = new Map<string, DomainDescription>();
  readonly #onStatus = new Set<(status: HypervisorStatus) => void>();
  readonly #onChange = new Set<(change: DomainChange) => void>();
  readonly #answers: Answer[] = [];
  readonly #clock: Clock;
  #status: HypervisorStatus = { available: true, info: FAKE_INFO, detail: "" };
  /** How many questions were asked, and how many of them are open now. */
  asked = 0;
  open = 0;
  /** Opens displays. Without one this hypervisor hands out no descriptors, and displays are reached as they listen. */
  opener: (uuid: string, index: number) => Socket | Promise<Socket> | undefined = () => undefined;
  starts = 0;
  stops = 0;

  constructor(clock: Clock = systemClock) {
    this.#clock = clock;
  }

  start(): void {
    this.starts += 1;
  }

  stop(): void {
    this.stops += 1;
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

  describe(uuid: string, options: AskOptions): Promise<DomainDescription> {
    return this.#ask(options, () => {
      const domain = this.#domains.get(uuid);
      if (!domain) throw new ServiceError("INSTANCE_NOT_FOUND", "there is no such domain on this host");
      return domain;
    });
  }

  openDisplay(uuid: string, index: number, options: AskOptions): Promise<Socket | undefined> {
    return this.#ask(options, () => this.opener(uuid, index));
  }

  describeAll(options: AskOptions): Promise<readonly DomainDescription[]> {
    return this.#ask(options, () => [...this.#domains.values()]);
  }

  /** Defines a domain, or replaces the one with its uuid. No event is sent. */
  put(domain: DomainDescription): void {
    this.#domains.set(domain.uuid, domain);
  }

  /** Forgets a domain. No event is sent. */
  remove(uuid: string): void {
    this.#domains.delete(uuid);
  }

  /** The next question that has no such answer waiting yet fails with this. Questions use these up in order. */
  failNext(error: ServiceError): void {
    this.#answers.push({ kind: "error", error });
  }

  /** Likewise, but it gets no answer at all. */
  ignoreNext(): void {
    this.#answers.push({ kind: "never" });
  }

  /** Tells the listeners of an event, at once. */
  emit(change: DomainChange): void {
    for (const listener of this.#onChange) listener(change);
  }

  /** Changes the status and tells the listeners where `available` changed. While it is away questions fail at once. */
  setStatus(status: HypervisorStatus): void {
    const changed = status.available !== this.#status.available;
    this.#status = status;
    if (changed) for (const listener of this.#onStatus) listener(status);
  }

  async #ask<T>(options: AskOptions, answer: () => T | Promise<T>): Promise<T> {
    const unavailable = (): ServiceError =>
      new ServiceError("HYPERVISOR_UNAVAILABLE", "the hypervisor does not answer; try again in a moment");
    this.asked += 1;
    this.open += 1;
    try {
      return await withDeadline({ ...options, expired: unavailable, clock: this.#clock }, async () => {
        const scripted = this.#answers.shift();
        if (scripted?.kind === "never") return new Promise<T>(() => undefined);
        if (scripted) throw scripted.error;
        if (!this.#status.available) throw unavailable();
        return answer();
      });
    } finally {
      this.open -= 1;
    }
  }
}
