// SPDX-License-Identifier: Apache-2.0
import { MAX_BATCH, MAX_BATCHES_AT_ONCE, MAX_WAITING_FOR_BATCH } from "../lib/limits.js";
import { databaseUnavailable } from "./postgres-errors.js";

interface Waiting<Request, Answer> {
  readonly request: Request;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Turns many small statements into few larger ones. A request that comes while little is under way goes out at once and
 * alone; those that come meanwhile wait for the next statement and share it. So one caller waits for nothing, and many
 * callers cost one round trip, one plan and one commit together.
 */
export class Batches<Request, Answer> {
  readonly #run: (requests: readonly Request[]) => Promise<readonly Answer[]>;
  readonly #waiting: Waiting<Request, Answer>[] = [];
  #underWay = 0;

  /** `run` answers the requests in their order; when it throws, every one of them fails with that error. */
  constructor(run: (requests: readonly Request[]) => Promise<readonly Answer[]>) {
    this.#run = run;
  }

  /** The answer to one request. Throws what `run` threw, or DATABASE_UNAVAILABLE where too many wait. */
  add(request: Request): Promise<Answer> {
    if (this.#waiting.length >= MAX_WAITING_FOR_BATCH) {
      return Promise.reject(databaseUnavailable(new Error("too many requests wait for a statement")));
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ request, resolve, reject });
      this.#pump();
    });
  }

  #pump(): void {
    while (this.#waiting.length > 0 && this.#underWay < MAX_BATCHES_AT_ONCE) {
      this.#underWay += 1;
      void this.#send(this.#waiting.splice(0, MAX_BATCH)).then(() => {
        this.#underWay -= 1;
        this.#pump();
      });
    }
  }

  async #send(batch: readonly Waiting<Request, Answer>[]): Promise<void> {
    try {
      const answers = await this.#run(batch.map(({ request }) => request));
      batch.forEach(({ resolve, reject }, index) => {
        const answer = answers[index];
        if (answer === undefined) reject(new Error("a statement answered fewer requests than it was given"));
        else resolve(answer);
      });
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
  }
}
