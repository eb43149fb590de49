// SPDX-License-Identifier: Apache-2.0
import type { RequestContext } from "../rpc/request-context.js";
import type { ConsoleTokenStore } from "../tokens/console-token-store.js";
import { actorFrom } from "./audit-actor.js";
import type { InstanceAccess } from "./instance-access.js";

/** Takes back what was issued and not yet opened. */
export class RevokeConsoleTokens {
  readonly #access: InstanceAccess;
  readonly #tokens: ConsoleTokenStore;

  constructor(access: InstanceAccess, tokens: ConsoleTokenStore) {
    this.#access = access;
    this.#tokens = tokens;
  }

  /** Deletes the instance's unredeemed tokens and says how many; a second call answers 0. */
  async execute(instanceUuid: string, context: RequestContext): Promise<number> {
    await this.#access.requireVerb({ verb: "console:revoke", instanceUuid }, context);
    await this.#access.require(instanceUuid, context);
    return this.#tokens.revoke(instanceUuid, actorFrom(context));
  }
}
