// SPDX-License-Identifier: Apache-2.0
// workarounds.enable_consoleauth, switched on: tokens live in the database and in the legacy store. The database is the
// truth; the legacy store is asked first, and what it alone knows becomes the database's.
import type { SlotBounds } from "../db/slots.js";
import { Slots } from "../db/slots.js";
import type { Clock } from "../lib/clock.js";
import { systemClock } from "../lib/clock.js";
import { LEGACY_CALL_MS, MAX_LEGACY_CALLS, MAX_WAITING_LEGACY_CALLS } from "../lib/limits.js";
import type { Log } from "../lib/log.js";
import { Outage } from "../lib/outage.js";
import type { ControllerMetrics } from "../telemetry/controller-metrics.js";
import type { AdoptedTokens, Adoption } from "./adopted-tokens.js";
import { storeUnavailable } from "./authorization-store.js";
import type { AuthorizedConsole, ConsoleAuth, LegacyTokens } from "./console-auth.js";

/** What the two stores together need. */
export interface DualTokensOptions {
  readonly legacy: ConsoleAuth;
  readonly adopted: Pick<AdoptedTokens, "adopt">;
  /** Whether tokens can be used again (console.compat_tokens): then a use takes none from the legacy store. */
  readonly reusable: boolean;
  readonly metrics: Pick<ControllerMetrics, "consoleauthChecks" | "consoleauthWriteFailures">;
  readonly log: Log;
  readonly clock?: Clock;
}

const OUTAGE_BEGINS = "the legacy store of console tokens fails: the database answers alone";
const OUTAGE_ENDS = "the legacy store of console tokens is back";

/** What the metric calls each answer of the legacy store. */
const RESULTS = { adopted: "legacy-only", known: "both", refused: "stale" } as const satisfies Record<Adoption, string>;

type Result = (typeof RESULTS)[Adoption] | "miss" | "failed";

const BOUNDS: SlotBounds = { slots: MAX_LEGACY_CALLS, waiting: MAX_WAITING_LEGACY_CALLS, waitMs: LEGACY_CALL_MS };

/** See LegacyTokens. Only the database's own failures get out of here. */
export class DualTokens implements LegacyTokens {
  readonly #options: DualTokensOptions;
  readonly #outage: Outage;
  /** Strangers bring tokens, and their crowd is in no caller's way. */
  readonly #checks: Slots;
  readonly #writes: Slots;

  constructor(options: DualTokensOptions) {
    const { log, clock = systemClock } = options;
    this.#options = options;
    this.#outage = new Outage({ begins: OUTAGE_BEGINS, ends: OUTAGE_ENDS, log, clock });
    this.#checks = new Slots(BOUNDS, clock);
    this.#writes = new Slots(BOUNDS, clock);
  }

  issued(tokenHash: string, console: AuthorizedConsole): Promise<void> {
    return this.#write("authorize", () => this.#options.legacy.authorize(tokenHash, console));
  }

  async bringIn(tokenHash: string, { consume }: { readonly consume: boolean }): Promise<void> {
    const { legacy, metrics, reusable } = this.#options;
    const result = await this.#adopt(tokenHash);
    metrics.consoleauthChecks.inc({ result });
    if (result !== "legacy-only" || !consume || reusable) return;
    // The row is there: of two that redeem it one gets the session, whatever the legacy store goes on saying.
    await this.#write("consume", () => legacy.check(tokenHash, { consume: true }));
  }

  forget(instanceUuid: string): Promise<void> {
    return this.#write("delete", () => this.#options.legacy.deleteForInstance(instanceUuid));
  }

  async #adopt(tokenHash: string): Promise<Result> {
    const { legacy, adopted } = this.#options;
    const answer = await this.#ask(this.#checks, () => legacy.check(tokenHash, { consume: false }));
    if (!answer) return "failed";
    const [console] = answer;
    return console ? RESULTS[await adopted.adopt(tokenHash, console)] : "miss";
  }

  async #write(operation: string, work: () => Promise<unknown>): Promise<void> {
    if (await this.#ask(this.#writes, work)) return;
    this.#options.metrics.consoleauthWriteFailures.inc({ operation });
  }

  /** The store's answer, as the one element of a list; undefined where it gave none. */
  async #ask<Answer>(slots: Slots, work: () => Promise<Answer>): Promise<readonly [Answer] | undefined> {
    try {
      const answer = await slots.run(work, crowded);
      this.#outage.answered();
      return [answer];
    } catch (error) {
      this.#outage.failed(error);
      return undefined;
    }
  }
}

function crowded(): Error {
  return storeUnavailable(new Error("too many wait for it already"));
}
