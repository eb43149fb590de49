// SPDX-License-Identifier: Apache-2.0
// What every token has to pass before it opens anything, in Nova's order: the token, its type, the host's word.
import type { AgentRouter } from "../agents/agent-router.js";
import type { Instance } from "../instances/instance.js";
import type { InstanceRegistry } from "../instances/instance-registry.js";
import { MAX_REQUEST_MS, MAX_TOKEN_LENGTH } from "../lib/limits.js";
import { ServiceError } from "../lib/service-error.js";
import type { ConsoleTokenStore, PresentedToken } from "../tokens/console-token-store.js";
import { hashToken } from "../tokens/token.js";
import type { Refused } from "./viewer-refusals.js";
import type { ViewerContext } from "./viewer.js";

/** What checking needs. */
export interface TokenCheckOptions {
  readonly tokens: Pick<ConsoleTokenStore, "inspect">;
  readonly instances: Pick<InstanceRegistry, "find" | "findFresh">;
  readonly agents: Pick<AgentRouter, "require">;
}

/** The one console type whose viewer is served here. */
const CONSOLE_TYPE = "spice-html5";

/** Checks tokens. Whether a used one may be used again is left to whoever asks. */
export class TokenCheck {
  readonly #options: TokenCheckOptions;

  constructor(options: TokenCheckOptions) {
    this.#options = options;
  }

  /** The token as it stands. Throws TOKEN_INVALID for one that never was, or is forgotten. */
  async require(tokenHash: string): Promise<PresentedToken> {
    const token = await this.#options.tokens.inspect(tokenHash);
    if (!token) throw unknownToken();
    return token;
  }

  /** Asks the instance's host whether the display still is the one; returns the host. */
  async askHost(token: PresentedToken, { requestId, signal }: ViewerContext): Promise<string> {
    const instance = await this.#find(token.instanceUuid);
    if (!instance) throw unknownToken();
    const { host } = instance;
    if (host === undefined)
      throw new ServiceError("INSTANCE_NOT_READY", "the instance has no host; wait until it is placed");
    const options = { ms: MAX_REQUEST_MS, requestId, signal };
    await this.#options.agents.require(host).validateConsolePort(token.instanceUuid, token, options);
    return host;
  }

  /** What came between the look at the instance and the statement that did not begin a session; the token is as it was. */
  async whyNot({ instanceUuid }: PresentedToken): Promise<ServiceError> {
    const instance = await this.#options.instances.findFresh(instanceUuid);
    if (instance?.taskState !== "deleting") return unknownToken();
    return new ServiceError("INSTANCE_BUSY", "the instance is being deleted", { metadata: { task_state: "deleting" } });
  }

  /** Memory alone refuses nobody: another controller may have been told of the host a moment ago. */
  async #find(uuid: string): Promise<Instance | undefined> {
    const { instances } = this.#options;
    const known = instances.find(uuid);
    return known?.host === undefined ? instances.findFresh(uuid) : known;
  }
}

/** Under which hash a token is stored. What cannot be a token is TOKEN_INVALID and not looked for. */
export function hashOf(token: string): string {
  if (token === "" || token.length > MAX_TOKEN_LENGTH) throw unknownToken();
  return hashToken(token);
}

/** Throws TOKEN_EXPIRED, TOKEN_USED for one that was used, or CONSOLE_TYPE_INVALID for one of another viewer. */
export function requireUnused(token: PresentedToken): void {
  requireUnexpired(token);
  if (token.state === "used") throw usedToken();
  requireType(token);
}

/** The same for tokens that can be used again. */
export function requireUsable(token: PresentedToken): void {
  requireUnexpired(token);
  requireType(token);
}

/** The token has opened a console, and does so only once. */
export function usedToken(): ServiceError {
  return new ServiceError("TOKEN_USED", "this link has been opened before; ask for a new one");
}

/** What the audit is told of a token that is refused. */
export function knownOf({ instanceUuid, consoleType, subject }: PresentedToken): Refused {
  return { instanceUuid, consoleType, subject };
}

function requireUnexpired({ state }: PresentedToken): void {
  if (state === "expired") throw new ServiceError("TOKEN_EXPIRED", "this link has expired; ask for a new one");
}

function requireType({ consoleType }: PresentedToken): void {
  if (consoleType === CONSOLE_TYPE) return;
  const message = `this link is for a ${consoleType} console, which has another viewer`;
  throw new ServiceError("CONSOLE_TYPE_INVALID", message, { metadata: { console_type: consoleType } });
}

function unknownToken(): ServiceError {
  return new ServiceError("TOKEN_INVALID", "this link is not valid; ask for a new one");
}
