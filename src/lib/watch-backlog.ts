// SPDX-License-Identifier: Apache-2.0
import { abortError } from "./deadline.js";
import { MAX_WATCH_BACKLOG } from "./limits.js";
import { ServiceError } from "./service-error.js";

/**
 * What one watcher has not taken yet: at most one step for each thing it is about, the newest, so that a slow watcher
 * costs what there is and not what happens. Beyond the bound the watcher fails with LIMITED.
 */
export class WatchBacklog<Step> {
  readonly #what: string;
  readonly #steps = new Map<string, Step>();
  #wake: () => void = () => undefined;
  #error: ServiceError | undefined;

  /** `what` is watched, in the plural, for people. */
  constructor(what: string) {
    this.#what = what;
  }

  /** Adds what is new about `key`, behind all that waits: steps are taken in the order of what they tell. */
  add(key: string, step: Step): void {
    if (this.#error) return;
    this.#steps.delete(key);
    this.#steps.set(key, step);
    if (this.#steps.size > MAX_WATCH_BACKLOG) return this.overflow();
    this.#wake();
  }

  /** Cuts the watcher off with LIMITED; what waits is dropped. A second call does nothing. */
  overflow(): void {
    this.#error ??= tooMuchToWatch(this.#what);
    this.#steps.clear();
    this.#wake();
  }

  /** The next step, as soon as there is one. Throws LIMITED after an overflow, and what an aborted signal stands for. */
  async take(signal: AbortSignal): Promise<Step> {
    for (;;) {
      if (signal.aborted) throw abortError(signal);
      if (this.#error) throw this.#error;
      for (const [key, step] of this.#steps) {
        this.#steps.delete(key);
        return step;
      }
      await this.#added(signal);
    }
  }

  #added(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = () => {
        signal.removeEventListener("abort", this.#wake);
        resolve();
      };
      signal.addEventListener("abort", this.#wake);
    });
  }
}

/** The error of a watch to which more happens than it takes. */
export function tooMuchToWatch(what: string): ServiceError {
  const advice = "narrow it or read faster, and begin anew";
  return new ServiceError("LIMITED", `more ${what} change than this watch takes; ${advice}`);
}
