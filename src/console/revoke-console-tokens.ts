// SPDX-License-Identifier: Apache-2.0
import { logAudit } from "../audit/audit-line.js";
import type { Log } from "../lib/log.js";
import type { RequestContext } from "../rpc/request-context.js";
import type { ConsoleTokenStore } from "../tokens/console-token-store.js";
import { actorFrom, auditLineFrom } from "./audit-actor.js";
import type { InstanceAccess } from "./instance-access.js";

/** Takes back what was issued and opens a console. */
export class RevokeConsoleTokens {
  readonly #access: InstanceAccess;
  readonly #tokens: ConsoleTokenStore;
  readonly #log: Log;

  constructor(access: InstanceAccess, tokens: ConsoleTokenStore, log: Log) {
    this.#access = access;
    this.#tokens = tokens;
    this.#log = log;
  }

  /** Deletes the instance's tokens that can still be used and says how many; a second call answers 0. */
  async execute(instanceUuid: string, context: RequestContext): Promise<number> {
    await this.#access.requireVerb({ verb: "console:revoke", instanceUuid }, context);
    await this.#access.require(instanceUuid, context);
    const count = await this.#tokens.revoke(instanceUuid, actorFrom(context));
    logAudit(this.#log, "revoked", { ...auditLineFrom(context), instance: instanceUuid, count });
    return count;
  }
}
