// SPDX-License-Identifier: Apache-2.0

/** Time, passed in so that tests can move it. Waits use the monotonic reading; nothing that expires is judged by it. */
export interface Clock {
  /** Monotonic milliseconds since some moment; never goes back. */
  now(): number;
  /** Runs `action` once after `ms` milliseconds unless the returned function is called first (twice is harmless). */
  after(ms: number, action: () => void): () => void;
}

/** The machine's clock. Its timers do not keep a process alive. */
export const systemClock: Clock = {
  now: () => performance.now(),
  after(ms, action) {
    const timer = setTimeout(action, ms);
    timer.unref();
    return () => clearTimeout(timer);
  },
};
