// SPDX-License-Identifier: Apache-2.0
import { logAudit } from "../audit/audit-line.js";
import type { LegacyTokens } from "../consoleauth/console-auth.js";
import type { Log } from "../lib/log.js";
import type { RequestContext } from "../rpc/request-context.js";
import type { ConsoleTarget, ConsoleTokenStore } from "../tokens/console-token-store.js";
import { hashToken } from "../tokens/token.js";
import { actorFrom, auditLineFrom } from "./audit-actor.js";

/** What looking up needs. */
export interface LookupConsoleTokenOptions {
  readonly tokens: Pick<ConsoleTokenStore, "lookup">;
  readonly legacy: Pick<LegacyTokens, "bringIn">;
  readonly log: Log;
}

/** Answers what a token stands for; for administrators and native proxies (Nova's os-console-auth-tokens). */
export class LookupConsoleToken {
  readonly #options: LookupConsoleTokenOptions;

  constructor(options: LookupConsoleTokenOptions) {
    this.#options = options;
  }

  /** The endpoint behind an unexpired token that can still be used, which is not consumed. Otherwise TOKEN_NOT_FOUND. */
  async execute(token: string, context: RequestContext): Promise<ConsoleTarget> {
    const { tokens, legacy, log } = this.#options;
    const tokenHash = hashToken(token);
    await legacy.bringIn(tokenHash, { consume: false });
    const target = await tokens.lookup(tokenHash, actorFrom(context));
    logAudit(log, "looked-up", { ...auditLineFrom(context), instance: target.instanceUuid });
    return target;
  }
}
