// SPDX-License-Identifier: Apache-2.0
// Callers that ask for consoles again and again while something is done to the programs. What they may see then is the
// same in every scenario: an answer before the deadline, with a reason that a person can act on.
import { expect } from "chai";
import { waitUntil } from "../../demo/wait-until.js";
import type { GetSpiceConsoleResponse } from "../../proto/gen/spicegate/console/v1/console.js";
import { pause } from "../../src/lib/deadline.js";
import type { Deployment } from "./deployment.js";
import type { CallResult } from "./grpc-client.js";
import { callUnary } from "./grpc-client.js";

/** How the load is made. */
export interface LoadOptions {
  readonly callers?: number;
  /** Each call's deadline, in milliseconds. */
  readonly ms?: number;
}

const REFUSED_PAUSE_MS = 20;
const LATE_MS = 1_500;
const PATIENCE_MS = 45_000;

/** Callers of one instance, each with one call at a time. */
export class Load {
  readonly #deployment: Deployment;
  readonly #instanceUuid: string;
  readonly #ms: number;
  readonly #counts = new Map<string, number>();
  readonly #callers: readonly Promise<void>[];
  #slowest = 0;
  #stopped = false;

  private constructor(deployment: Deployment, instanceUuid: string, { callers = 16, ms = 10_000 }: LoadOptions) {
    this.#deployment = deployment;
    this.#instanceUuid = instanceUuid;
    this.#ms = ms;
    this.#callers = Array.from({ length: callers }, () => this.#callAgainAndAgain());
  }

  /** Begins to call. `stop` ends it. */
  static start(deployment: Deployment, instanceUuid: string, options: LoadOptions = {}): Load {
    return new Load(deployment, instanceUuid, options);
  }

  /** How many calls have ended like that: "OK" or a reason. */
  count(outcome: string): number {
    return this.#counts.get(outcome) ?? 0;
  }

  /** Every way in which calls have ended. */
  get outcomes(): readonly string[] {
    return [...this.#counts.keys()];
  }

  /** Waits until so many more calls have ended like that. */
  async sees(outcome: string, more = 20): Promise<void> {
    const goal = this.count(outcome) + more;
    const what = `${more} calls that end ${outcome}`;
    try {
      await waitUntil(() => this.count(outcome) >= goal, { ms: PATIENCE_MS, what });
    } catch (error) {
      throw new Error(`no ${what}; so far ${JSON.stringify(Object.fromEntries(this.#counts))}`, { cause: error });
    }
  }

  /** Waits until every caller has been served anew, whatever it was waiting for. */
  async recovers(): Promise<void> {
    await this.sees("OK", 3 * this.#callers.length);
  }

  /** Lets the last calls end. Twice is harmless. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#callers);
  }

  /** Stops, and fails where a call was late or ended in another way than these or "OK". */
  async endsWithOnly(...reasons: readonly string[]): Promise<void> {
    await this.stop();
    expect(this.outcomes.filter((outcome) => outcome !== "OK" && !reasons.includes(outcome))).to.deep.equal([]);
    expect(this.#slowest, "slowest call, ms").to.be.below(this.#ms + LATE_MS);
  }

  async #callAgainAndAgain(): Promise<void> {
    const { console } = this.#deployment;
    const request = { instanceUuid: this.#instanceUuid, consoleType: "" };
    while (!this.#stopped) {
      const result = await callUnary(console.getSpiceConsole.bind(console), request, { ms: this.#ms });
      this.#note(result);
      if (!result.ok) await pause(REFUSED_PAUSE_MS);
    }
  }

  #note(result: CallResult<GetSpiceConsoleResponse>): void {
    const outcome = result.ok ? "OK" : result.failure.reason;
    this.#counts.set(outcome, this.count(outcome) + 1);
    this.#slowest = Math.max(this.#slowest, result.ms);
  }
}
