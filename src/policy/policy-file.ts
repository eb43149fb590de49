// SPDX-License-Identifier: Apache-2.0
import type { Counter } from "prom-client";
import type { PolicyTable } from "../config/policy-table.js";
import { parsePolicy } from "../config/policy-table.js";
import type { Clock } from "../lib/clock.js";
import type { Part } from "../lib/lifecycle.js";
import type { Log } from "../lib/log.js";
import { WatchedFiles } from "../lib/watched-files.js";
import type { Policy } from "./policy.js";

/** What following a policy's file needs. */
export interface PolicyFileOptions {
  /** The setting policy.file. */
  readonly file: string;
  readonly policy: Pick<Policy, "replace">;
  readonly metrics: { readonly policyReloadFailures: Pick<Counter, "inc"> };
  readonly log: Log;
  readonly clock: Clock;
}

/** Puts the table in a file into effect, at the start and whenever it changes. A file that is no good changes nothing. */
export class PolicyFile implements Part {
  readonly #options: PolicyFileOptions;
  readonly #files: WatchedFiles;

  constructor(options: PolicyFileOptions) {
    const { file, clock } = options;
    this.#options = options;
    this.#files = new WatchedFiles({
      files: [file],
      take: ([text = ""]) => this.#take(parsePolicy(text)),
      refused: (error) => this.#refused(error),
      clock,
    });
  }

  /** Reads the file, which must work, and begins to look for changes. */
  start(): void {
    this.#files.start();
  }

  /** Looks no more; the table stays. Twice is harmless. */
  async stop(): Promise<void> {
    await this.#files.stop();
  }

  #take(table: PolicyTable): void {
    const { policy, file, log } = this.#options;
    policy.replace(table);
    const verbs = Object.entries(table);
    const nobodys = verbs.filter(([, roles]) => roles.length === 0).map(([verb]) => verb);
    log.info({ file, nobodys }, "the policy is in effect");
  }

  #refused(error: unknown): void {
    const { file, metrics, log } = this.#options;
    metrics.policyReloadFailures.inc();
    log.error({ err: error, file }, "the new policy is no good; the one before stays in effect");
  }
}
