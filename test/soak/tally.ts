// SPDX-License-Identifier: Apache-2.0

/** What was asked for, and how often it ended how. */
export class Tally {
  readonly #counts = new Map<string, Map<string, number>>();
  readonly #unanswered: string[] = [];

  /** Counts one outcome. */
  note(what: string, outcome: string): void {
    const outcomes = this.#counts.get(what) ?? new Map<string, number>();
    this.#counts.set(what, outcomes);
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  }

  /** Counts a request that was not answered, however often it was asked again. */
  fail(what: string, detail: string): void {
    this.note(what, "UNANSWERED");
    this.#unanswered.push(`${what}: ${detail}`);
  }

  /** The requests that were not answered, in words. */
  get unanswered(): readonly string[] {
    return this.#unanswered;
  }

  /** Outcomes by what was asked for. */
  get counts(): ReadonlyMap<string, ReadonlyMap<string, number>> {
    return this.#counts;
  }
}
