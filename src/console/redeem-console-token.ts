// SPDX-License-Identifier: Apache-2.0
// A console URL is opened. The order of the steps is Nova's: the token, its type, the host's word, and only then the
// statement that uses the token up, so that a host's hiccup leaves it usable.
import type { LegacyTokens } from "../consoleauth/console-auth.js";
import { abortError } from "../lib/deadline.js";
import type { PresentedToken } from "../tokens/console-token-store.js";
import type { BeginSession } from "./begin-session.js";
import type { TokenCheckOptions } from "./token-check.js";
import { hashOf, knownOf, requireUnused, TokenCheck } from "./token-check.js";
import type { ViewerDrain } from "./viewer-drain.js";
import type { Learn, ViewerRefusals } from "./viewer-refusals.js";
import type { OpenedSession, Redeeming, ViewerContext } from "./viewer.js";

/** What redeeming needs. */
export interface RedeemConsoleTokenOptions extends TokenCheckOptions {
  readonly legacy: Pick<LegacyTokens, "bringIn">;
  readonly beginning: Pick<BeginSession, "redeem">;
  readonly drain: Pick<ViewerDrain, "requireOpen">;
  readonly refusals: ViewerRefusals;
}

interface Placed {
  readonly tokenHash: string;
  readonly token: PresentedToken;
  readonly host: string;
}

/** Turns tokens into sessions. */
export class RedeemConsoleToken implements Redeeming {
  readonly #options: RedeemConsoleTokenOptions;
  readonly #check: TokenCheck;

  constructor(options: RedeemConsoleTokenOptions) {
    this.#options = options;
    this.#check = new TokenCheck(options);
  }

  /** See Redeeming. Of several calls with one token exactly one gets the session, however close together they are. */
  execute(text: string, context: ViewerContext): Promise<OpenedSession> {
    return this.#options.refusals.noting({}, context, (learn) => this.#open(text, context, learn));
  }

  async #open(text: string, context: ViewerContext, learn: Learn): Promise<OpenedSession> {
    this.#options.drain.requireOpen();
    const tokenHash = hashOf(text);
    await this.#options.legacy.bringIn(tokenHash, { consume: true });
    const token = await this.#check.require(tokenHash);
    learn(knownOf(token));
    requireUnused(token);
    const host = await this.#check.askHost(token, context);
    return this.#redeem({ tokenHash, token, host }, context);
  }

  async #redeem({ tokenHash, token, host }: Placed, context: ViewerContext): Promise<OpenedSession> {
    const { requestId, clientAddress, signal } = context;
    // A viewer that went away meanwhile keeps its token.
    if (signal.aborted) throw abortError(signal);
    const { instanceUuid, consoleType } = token;
    const redemption = { tokenHash, consoleType, instanceUuid, host, requestId, clientAddress };
    return (await this.#options.beginning.redeem(redemption, context)) ?? this.#fail(tokenHash);
  }

  /** Throws what came between our look and the statement. */
  async #fail(tokenHash: string): Promise<never> {
    const token = await this.#check.require(tokenHash);
    requireUnused(token);
    throw await this.#check.whyNot(token);
  }
}
