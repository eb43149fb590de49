// SPDX-License-Identifier: Apache-2.0
import { logAudit } from "../audit/audit-line.js";
import type { Log } from "../lib/log.js";
import type { RequestContext } from "../rpc/request-context.js";
import type { ConsoleTarget, ConsoleTokenStore } from "../tokens/console-token-store.js";
import { actorFrom, auditLineFrom } from "./audit-actor.js";
import type { InstanceAccess } from "./instance-access.js";

/** Answers what a token stands for; for administrators and native proxies (Nova's os-console-auth-tokens). */
export class LookupConsoleToken {
  readonly #access: InstanceAccess;
  readonly #tokens: ConsoleTokenStore;
  readonly #log: Log;

  constructor(access: InstanceAccess, tokens: ConsoleTokenStore, log: Log) {
    this.#access = access;
    this.#tokens = tokens;
    this.#log = log;
  }

  /** The endpoint behind an unexpired token that can still be used, which is not consumed. Otherwise TOKEN_NOT_FOUND. */
  async execute(token: string, context: RequestContext): Promise<ConsoleTarget> {
    await this.#access.requireVerb({ verb: "console:lookup" }, context);
    const target = await this.#tokens.lookup(token, actorFrom(context));
    logAudit(this.#log, "looked-up", { ...auditLineFrom(context), instance: target.instanceUuid });
    return target;
  }
}
