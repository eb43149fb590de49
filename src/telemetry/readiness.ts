// SPDX-License-Identifier: Apache-2.0

/** One thing that must hold before a program can serve. */
export interface Condition {
  readonly ok: boolean;
  /** Why not, in words; empty when ok. */
  readonly detail: string;
}

/** Whether the program can serve: named conditions, all of which must hold. Each starts as "not yet". */
export class Readiness {
  readonly #conditions = new Map<string, Condition>();
  readonly #listeners = new Set<(ready: boolean) => void>();

  constructor(names: readonly string[]) {
    for (const name of names) this.#conditions.set(name, { ok: false, detail: "not yet" });
  }

  /** States whether one condition holds; setting it to what it was is harmless. */
  set(name: string, ok: boolean, detail = ""): void {
    const before = this.isReady();
    this.#conditions.set(name, { ok, detail: ok ? "" : detail });
    const after = this.isReady();
    if (before !== after) for (const listener of this.#listeners) listener(after);
  }

  isReady(): boolean {
    return [...this.#conditions.values()].every((condition) => condition.ok);
  }

  /** A copy of all conditions by name. */
  conditions(): Readonly<Record<string, Condition>> {
    return Object.fromEntries(this.#conditions);
  }

  /** Calls back with every change between ready and not; returns the way to stop that. */
  onChange(listener: (ready: boolean) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
