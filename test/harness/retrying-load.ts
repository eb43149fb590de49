// SPDX-License-Identifier: Apache-2.0
// Callers that do what a client of several controllers does: whoever is refused by one asks the next.
import { waitUntil } from "../../demo/wait-until.js";
import { pause } from "../../src/lib/deadline.js";
import type { Cluster } from "./cluster.js";

const CALLERS = 4;
const CALL_MS = 5_000;
/** Else the callers alone would keep the machine busy. */
const PAUSE_MS = 10;
const PATIENCE_MS = 30_000;

/** Callers of GetSpiceConsole for one instance, each with one request at a time, which it begins at each controller in turn. */
export class RetryingLoad {
  readonly #cluster: Cluster;
  readonly #instanceUuid: string;
  readonly #callers: readonly Promise<void>[];
  /** By how many controllers a request was refused before one answered. */
  readonly #refusals: number[] = [];
  /** Of requests that no controller answered: what each said. */
  readonly #failures: string[] = [];
  #stopped = false;

  private constructor(cluster: Cluster, instanceUuid: string) {
    this.#cluster = cluster;
    this.#instanceUuid = instanceUuid;
    this.#callers = Array.from({ length: CALLERS }, (_, number) => this.#callAgainAndAgain(number));
  }

  /** Begins to call. `stop` ends it. */
  static start(cluster: Cluster, instanceUuid: string): RetryingLoad {
    return new RetryingLoad(cluster, instanceUuid);
  }

  /** How many requests a controller has answered. */
  get answered(): number {
    return this.#refusals.length;
  }

  /** How many of them another one had refused before. */
  get retried(): number {
    return this.#refusals.filter((count) => count > 0).length;
  }

  /** The most controllers that have refused the same request. */
  get mostRefusals(): number {
    return Math.max(0, ...this.#refusals);
  }

  /** What the controllers said to the requests that none of them answered. */
  get failures(): readonly string[] {
    return this.#failures;
  }

  /** Waits until so many more requests were answered. */
  async goesOn(more = 10 * CALLERS): Promise<void> {
    const goal = this.answered + more;
    await waitUntil(() => this.answered >= goal, { ms: PATIENCE_MS, what: `${more} more answers` });
  }

  /** Lets the last requests end. Twice is harmless. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#callers);
  }

  async #callAgainAndAgain(first: number): Promise<void> {
    for (let number = first; !this.#stopped; number += 1) {
      await this.#request(number);
      await pause(PAUSE_MS);
    }
  }

  async #request(first: number): Promise<void> {
    const { controllers } = this.#cluster;
    const refusals: string[] = [];
    for (let step = 0; step < controllers.length; step += 1) {
      const controller = this.#cluster.at((first + step) % controllers.length);
      const result = await controller.getConsole(this.#instanceUuid, { ms: CALL_MS });
      if (result.ok) {
        this.#refusals.push(refusals.length);
        return;
      }
      refusals.push(result.failure.reason);
    }
    this.#failures.push(refusals.join(", "));
  }
}
