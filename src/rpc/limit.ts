// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/clock.js";
import type { Rate } from "../lib/rate-limit.js";
import { RateLimit } from "../lib/rate-limit.js";
import { ServiceError } from "../lib/service-error.js";

/** Who comes up against a limit, as far as is known. */
export interface Asker {
  /** Without a port; empty where unknown. */
  readonly clientAddress: string;
  readonly requestId: string;
  readonly caller?: { readonly subject: string; readonly project: string };
}

/** Hears of everything that a limit refuses. */
export interface LimitNotes {
  /** `key` is what the limit counts by. */
  note(limit: string, key: string, asker: Asker): void;
}

/** What a limit is made from. */
export interface LimitOptions {
  /** Of its setting. */
  readonly name: string;
  /** What it counts, for people: "requests of this caller". */
  readonly what: string;
  readonly rate: Rate;
  /** What it counts by; undefined for who is not limited. */
  readonly keyOf: (asker: Asker) => string | undefined;
  readonly notes: LimitNotes;
  readonly clock: Clock;
}

/** One setting of `limits`: refuses with LIMITED what comes too often, and says when to come again. */
export class Limit {
  readonly #options: LimitOptions;
  readonly #rates: RateLimit;

  constructor(options: LimitOptions) {
    this.#options = options;
    this.#rates = new RateLimit(options.rate, options.clock);
  }

  /** Of its setting. */
  get name(): string {
    return this.#options.name;
  }

  /** Counts one; throws LIMITED, and counts none, where there were too many. */
  take(asker: Asker): void {
    const key = this.#options.keyOf(asker);
    const waitMs = key === undefined ? 0 : this.#rates.take(key);
    if (waitMs > 0) this.refuse(asker, waitMs);
  }

  /** Throws what `take` would, and counts none. */
  require(asker: Asker): void {
    const refusal = this.refusal(asker);
    if (!refusal) return;
    this.note(asker);
    throw refusal;
  }

  /** What the asker counts by where it has taken more than half of what it may at once, else undefined. */
  keyOfBusy(asker: Asker): string | undefined {
    const key = this.#options.keyOf(asker);
    return key !== undefined && this.#rates.taken(key) > BUSY ? key : undefined;
  }

  /** The error of `require`, for whoever may yet need it: it has not been noted. */
  refusal(asker: Asker): ServiceError | undefined {
    const key = this.#options.keyOf(asker);
    const waitMs = key === undefined ? 0 : this.#rates.wait(key);
    return waitMs > 0 ? this.#limited(waitMs) : undefined;
  }

  /** Throws LIMITED, and has it noted. */
  refuse(asker: Asker, retryMs: number): never {
    this.note(asker);
    throw this.#limited(retryMs);
  }

  /** Has it noted that the asker was refused. */
  note(asker: Asker): void {
    const { name, keyOf, notes } = this.#options;
    notes.note(name, keyOf(asker) ?? "", asker);
  }

  #limited(retryMs: number): ServiceError {
    const { name, what } = this.#options;
    const message = `too many ${what}; try again in ${Math.ceil(retryMs / 1_000)} s`;
    return new ServiceError("LIMITED", message, { metadata: { limit: name }, retryMs, noted: true });
  }
}

const BUSY = 0.5;
