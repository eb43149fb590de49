// SPDX-License-Identifier: Apache-2.0
import { logAudit } from "../audit/audit-line.js";
import type { Log } from "../lib/log.js";
import type { Limit } from "../rpc/limit.js";
import type { ControllerPlaces } from "../sessions/controller-places.js";
import type { BegunSession, Entry, Redemption, SessionBeginnings } from "../sessions/session-beginnings.js";
import type { SessionEndings } from "./session-endings.js";
import type { ViewerContext } from "./viewer.js";

/** What beginning needs. */
export interface BeginSessionOptions {
  readonly beginnings: SessionBeginnings;
  readonly places: Pick<ControllerPlaces, "take">;
  readonly endings: Pick<SessionEndings, "takenOver">;
  /** How often sessions may begin from one address. */
  readonly limit: Pick<Limit, "take">;
  readonly log: Log;
}

/** Begins sessions within this controller's limits, and tells those that a new one displaces. */
export class BeginSession {
  readonly #options: BeginSessionOptions;

  constructor(options: BeginSessionOptions) {
    this.#options = options;
  }

  /** See SessionBeginnings.redeem; also LIMITED where this controller has no place, or too many begin from there. */
  redeem(redemption: Redemption, context: ViewerContext): Promise<BegunSession | undefined> {
    return this.#begin(redemption, () => this.#options.beginnings.redeem(redemption), context);
  }

  /** See SessionBeginnings.enter; also LIMITED where this controller has no place. */
  enter(entry: Entry, context: ViewerContext): Promise<BegunSession | undefined> {
    return this.#begin(entry, () => this.#options.beginnings.enter(entry), context);
  }

  async #begin(
    { tokenHash }: Redemption,
    begin: () => Promise<BegunSession | undefined>,
    context: ViewerContext,
  ): Promise<BegunSession | undefined> {
    const { places, endings, limit, log } = this.#options;
    const { requestId, clientAddress } = context;
    limit.take(context);
    const begun = await places.take(tokenHash, begin);
    if (!begun) return undefined;
    const { subject, projectId, instanceUuid, sessionId } = begun.session;
    const who = { subject, client: clientAddress, requestId };
    logAudit(log, "redeemed", { ...who, instance: instanceUuid, session: sessionId });
    endings.takenOver(begun, { subject, projectId, requestId, clientAddress });
    return begun;
  }
}
