// SPDX-License-Identifier: Apache-2.0
/** What an idle session has left. */
export interface IdleTime {
  readonly leftMs: number;
  /** From so many milliseconds on the person is to be warned. */
  readonly warnedAtMs: number;
}

/** So long the server may not have heard yet of what was typed here. */
const HEARS_MS = 3_000;

/**
 * When to warn that a session ends for want of input: what the server last said, unless somebody has typed since, which
 * the server is about to hear. It knows no browser; times are milliseconds of one clock.
 */
export class IdleCountdown {
  #endsAt: number | undefined;
  #warnedAtMs = 0;
  #inputAt = -Infinity;

  /** What the server says; undefined where sessions do not end for that. */
  set(idle: IdleTime | undefined, now: number): void {
    if (now - this.#inputAt < HEARS_MS) return;
    this.#endsAt = idle && now + idle.leftMs;
    this.#warnedAtMs = idle?.warnedAtMs ?? 0;
  }

  /** Somebody has typed or clicked; true where that takes a warning back. */
  noteInput(now: number): boolean {
    const warned = this.warning(now) !== undefined;
    this.#inputAt = now;
    this.#endsAt = undefined;
    return warned;
  }

  /** What is left, in milliseconds, where it is time to warn. */
  warning(now: number): number | undefined {
    if (this.#endsAt === undefined) return undefined;
    const left = Math.max(0, this.#endsAt - now);
    return left > this.#warnedAtMs ? undefined : left;
  }
}
