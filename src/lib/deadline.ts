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
 * Runs `work` and waits for it until the deadline or the signal, whichever comes first. `work` gets a signal that
 * aborts at that moment, so that it can stop; a result that still comes later is dropped, its error too.
 */
export function withDeadline<T>(options: DeadlineOptions, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const onGivenUp = (error: Error): void => controller.abort(error);
  return within(options, () => work(controller.signal), onGivenUp);
}

/**
 * The same for hot paths, where making a signal costs more than the work: `onGivenUp` is called, once, where the wait
 * ends before the work does.
 */
export function within<T>(
  options: DeadlineOptions,
  work: () => Promise<T>,
  onGivenUp: (error: Error) => void = () => undefined,
): Promise<T> {
  const { ms, expired, signal, clock = systemClock } = options;
  if (signal?.aborted) return Promise.reject(abortError(signal));
  return new Promise<T>((resolve, reject) => {
    const giveUp = (error: Error): void => {
      settle();
      reject(error);
      onGivenUp(error);
    };
    const cancelTimer = clock.after(Math.max(0, ms), () => giveUp(expired()));
    const onAbort = (): void => {
      if (signal) giveUp(abortError(signal));
    };
    const settle = (): void => {
      cancelTimer();
      signal?.removeEventListener("abort", onAbort);
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    start(work).then(
      (value) => {
        settle();
        resolve(value);
      },
      (error: unknown) => {
        settle();
        reject(error instanceof Error ? error : new Error(String(error)));
      },
    );
  });
}

/** Begins the work; what it throws at once is a rejection like any other. */
async function start<T>(work: () => Promise<T>): Promise<T> {
  return work();
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
