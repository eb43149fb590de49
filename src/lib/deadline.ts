// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "./clock.js";
import { systemClock } from "./clock.js";
import { ServiceError } from "./service-error.js";

/** How a bounded wait ends when it does not end well. */
export interface DeadlineOptions {
  /** How long to wait at most, in milliseconds. */
  readonly ms: number;
  /** The error at the deadline. */
  readonly expired: () => Error;
  /** Ends the wait early: with the signal's own ServiceError where it has one, else with CANCELLED. */
  readonly signal?: AbortSignal | undefined;
  readonly clock?: Clock;
}

/** The error that an aborted signal stands for. */
export function abortError(signal: AbortSignal): Error {
  if (signal.reason instanceof ServiceError) return signal.reason;
  return new ServiceError("CANCELLED", "the caller went away", { cause: signal.reason });
}

/**
 * Runs `work` and waits for it until the deadline or the signal, whichever comes first. A result that still comes later
 * is dropped, its error too. For work that has nothing to stop: half the cost of `withDeadline`, which counts where every request waits.
 */
export function waitAtMost<T>(options: DeadlineOptions, work: () => Promise<T>): Promise<T> {
  const { ms, expired, signal, clock = systemClock } = options;
  if (signal?.aborted) return Promise.reject(abortError(signal));
  return new Promise<T>((resolve, reject) => {
    const settle = (): void => {
      cancelTimer();
      signal?.removeEventListener("abort", onAbort);
    };
    const fail = (error: unknown): void => {
      settle();
      reject(error instanceof Error ? error : new Error(String(error)));
    };
    const cancelTimer = clock.after(Math.max(0, ms), () => fail(expired()));
    const onAbort = (): void => {
      if (signal) fail(abortError(signal));
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    let running: Promise<T>;
    try {
      running = work();
    } catch (error) {
      return fail(error);
    }
    running.then((value) => {
      settle();
      resolve(value);
    }, fail);
  });
}

/** The same for work that can stop: it gets a signal that aborts when the wait fails. */
export async function withDeadline<T>(options: DeadlineOptions, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  try {
    return await waitAtMost(options, () => work(controller.signal));
  } catch (error) {
    controller.abort(error);
    throw error;
  }
}

/** Waits `ms` milliseconds. Returns false, at once, when the signal aborts; it never throws. */
export function pause(ms: number, signal?: AbortSignal, clock: Clock = systemClock): Promise<boolean> {
  if (signal?.aborted) return Promise.resolve(false);
  return new Promise((resolve) => {
    const onAbort = (): void => {
      cancel();
      resolve(false);
    };
    const cancel = clock.after(ms, () => {
      signal?.removeEventListener("abort", onAbort);
      resolve(true);
    });
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
