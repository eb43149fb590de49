// SPDX-License-Identifier: Apache-2.0
import type { Database } from "../db/pool.js";
import type { Clock } from "../lib/clock.js";
import { MAX_PENDING_REFUSALS, REFUSALS_PER_SECOND } from "../lib/limits.js";
import type { Part } from "../lib/lifecycle.js";
import type { Log } from "../lib/log.js";
import { PerSecond } from "../lib/per-second.js";
import { logAudit } from "./audit-line.js";
import type { AuditLog, Refusal } from "./audit-log.js";

/** What the recorder needs. */
export interface RefusalRecorderOptions {
  readonly audit: Pick<AuditLog, "recordRefusal">;
  readonly database: Pick<Database, "isReady">;
  readonly log: Log;
  readonly clock: Clock;
}

/**
 * Notes what viewers and agents were refused, in the log and in the audit. Anybody can be refused as often as he likes, so only so
 * many a second are noted, nobody waits for it, and while the database is away they are dropped.
 */
export class RefusalRecorder implements Part {
  readonly #options: RefusalRecorderOptions;
  readonly #pending: Refusal[] = [];
  readonly #rate: PerSecond;
  #writing: Promise<void> | undefined;

  constructor(options: RefusalRecorderOptions) {
    this.#options = options;
    this.#rate = new PerSecond(REFUSALS_PER_SECOND, options.clock);
  }

  /** Nothing to do: it works when there is something to record. */
  start(): void {
    this.#pending.length = 0;
  }

  /** Drops what waits, and waits for the row that is being written. Twice is harmless. */
  async stop(): Promise<void> {
    this.#pending.length = 0;
    await this.#writing;
  }

  /** Notes a refusal in the background; drops it where there are too many. */
  record(refusal: Refusal): void {
    if (!this.#rate.allows()) return;
    const { actor, reason, instanceUuid, sessionId, limit, host } = refusal;
    const { subject, clientAddress, requestId } = actor;
    const who = { subject, client: clientAddress, requestId };
    logAudit(this.#options.log, "refused", { reason, ...who, instance: instanceUuid, session: sessionId, limit, host });
    if (!this.#options.database.isReady() || this.#pending.length >= MAX_PENDING_REFUSALS) return;
    this.#pending.push(refusal);
    this.#writing ??= this.#writeAll();
  }

  /** Resolves when everything noted so far is written or dropped. */
  async idle(): Promise<void> {
    await this.#writing;
  }

  async #writeAll(): Promise<void> {
    for (let refusal = this.#pending.shift(); refusal; refusal = this.#pending.shift()) {
      try {
        await this.#options.audit.recordRefusal(refusal);
      } catch (error) {
        this.#options.log.debug({ err: error }, "a refusal was not noted in the audit");
      }
    }
    this.#writing = undefined;
  }
}
