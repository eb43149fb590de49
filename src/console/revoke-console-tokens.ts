// SPDX-License-Identifier: Apache-2.0
import { logAudit } from "../audit/audit-line.js";
import type { LegacyTokens } from "../consoleauth/console-auth.js";
import type { Log } from "../lib/log.js";
import type { RequestContext } from "../rpc/request-context.js";
import type { ConsoleTokenStore } from "../tokens/console-token-store.js";
import { actorFrom, auditLineFrom } from "./audit-actor.js";
import type { InstanceAccess } from "./instance-access.js";

/** What revoking needs. */
export interface RevokeConsoleTokensOptions {
  readonly access: InstanceAccess;
  readonly tokens: Pick<ConsoleTokenStore, "revoke">;
  readonly legacy: Pick<LegacyTokens, "forget">;
  readonly log: Log;
}

/** Takes back what was issued and opens a console. */
export class RevokeConsoleTokens {
  readonly #options: RevokeConsoleTokensOptions;

  constructor(options: RevokeConsoleTokensOptions) {
    this.#options = options;
  }

  /** Deletes the instance's tokens that can still be used and says how many; a second call answers 0. */
  async execute(instanceUuid: string, context: RequestContext): Promise<number> {
    const { access, tokens, legacy, log } = this.#options;
    await access.require(instanceUuid, context);
    const count = await tokens.revoke(instanceUuid, actorFrom(context));
    await legacy.forget(instanceUuid);
    logAudit(log, "revoked", { ...auditLineFrom(context), instance: instanceUuid, count });
    return count;
  }
}
