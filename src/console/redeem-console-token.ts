// SPDX-License-Identifier: Apache-2.0
// A console URL is opened. The order of the steps is Nova's: the token, its type, the host's word, and only then the
// statement that uses the token up, so that a host's hiccup leaves it usable.
import type { AgentRouter } from "../agents/agent-router.js";
import { logAudit } from "../audit/audit-line.js";
import type { LegacyTokens } from "../consoleauth/console-auth.js";
import type { Instance } from "../instances/instance.js";
import type { InstanceRegistry } from "../instances/instance-registry.js";
import { abortError } from "../lib/deadline.js";
import { MAX_REQUEST_MS, MAX_TOKEN_LENGTH } from "../lib/limits.js";
import type { Log } from "../lib/log.js";
import { ServiceError } from "../lib/service-error.js";
import type { BegunSession, SessionStore } from "../sessions/session-store.js";
import type { ConsoleTokenStore, PresentedToken } from "../tokens/console-token-store.js";
import { hashToken } from "../tokens/token.js";
import type { ViewerDrain } from "./viewer-drain.js";
import type { Refused, ViewerRefusals } from "./viewer-refusals.js";
import type { OpenedSession, Redeeming, ViewerContext } from "./viewer.js";

/** What redeeming needs. */
export interface RedeemConsoleTokenOptions {
  readonly tokens: Pick<ConsoleTokenStore, "inspect">;
  readonly legacy: Pick<LegacyTokens, "bringIn">;
  /** Whether the legacy store forgets what only it knew; not where a token can be used again. */
  readonly consumeLegacy: boolean;
  readonly sessions: Pick<SessionStore, "redeem">;
  readonly instances: Pick<InstanceRegistry, "find" | "findFresh">;
  readonly agents: Pick<AgentRouter, "require">;
  readonly drain: Pick<ViewerDrain, "requireOpen">;
  readonly refusals: ViewerRefusals;
  readonly log: Log;
}

/** The one console type whose viewer is served here. */
const CONSOLE_TYPE = "spice-html5";

interface Placed {
  readonly tokenHash: string;
  readonly token: PresentedToken;
  readonly host: string;
}

/** Turns tokens into sessions. */
export class RedeemConsoleToken implements Redeeming {
  readonly #options: RedeemConsoleTokenOptions;

  constructor(options: RedeemConsoleTokenOptions) {
    this.#options = options;
  }

  /** See Redeeming. Of several calls with one token exactly one gets the session, however close together they are. */
  async execute(text: string, context: ViewerContext): Promise<OpenedSession> {
    let known: Refused = {};
    try {
      this.#options.drain.requireOpen();
      const tokenHash = hashOf(text);
      await this.#options.legacy.bringIn(tokenHash, { consume: this.#options.consumeLegacy });
      const token = await this.#requireToken(tokenHash);
      const { instanceUuid, consoleType, subject } = token;
      known = { instanceUuid, consoleType, subject };
      requireUsable(token);
      const host = await this.#validate(token, context);
      return await this.#redeem({ tokenHash, token, host }, context);
    } catch (error) {
      this.#options.refusals.note(error, known, context);
      throw error;
    }
  }

  async #requireToken(tokenHash: string): Promise<PresentedToken> {
    const token = await this.#options.tokens.inspect(tokenHash);
    if (!token) throw unknownToken();
    return token;
  }

  /** Asks the instance's host whether the display still is the one; returns the host. */
  async #validate(token: PresentedToken, { requestId, signal }: ViewerContext): Promise<string> {
    const instance = await this.#find(token.instanceUuid);
    if (!instance) throw unknownToken();
    const { host } = instance;
    if (host === undefined)
      throw new ServiceError("INSTANCE_NOT_READY", "the instance has no host; wait until it is placed");
    const options = { ms: MAX_REQUEST_MS, requestId, signal };
    await this.#options.agents.require(host).validateConsolePort(token.instanceUuid, token, options);
    return host;
  }

  async #find(uuid: string): Promise<Instance | undefined> {
    const { instances } = this.#options;
    return instances.find(uuid) ?? (await instances.findFresh(uuid));
  }

  async #redeem({ tokenHash, token, host }: Placed, context: ViewerContext): Promise<BegunSession> {
    const { sessions, log } = this.#options;
    const { requestId, clientAddress, signal } = context;
    // A viewer that went away meanwhile keeps its token.
    if (signal.aborted) throw abortError(signal);
    const { instanceUuid, consoleType } = token;
    const begun = await sessions.redeem({ tokenHash, consoleType, instanceUuid, host, requestId, clientAddress });
    if (!begun) throw await this.#whyNot(tokenHash, instanceUuid);
    const { subject, sessionId } = begun.session;
    logAudit(log, "redeemed", {
      subject,
      instance: instanceUuid,
      session: sessionId,
      client: clientAddress,
      requestId,
    });
    return begun;
  }

  /** What came between our look and the statement. */
  async #whyNot(tokenHash: string, instanceUuid: string): Promise<ServiceError> {
    try {
      requireUsable(await this.#requireToken(tokenHash));
    } catch (error) {
      if (error instanceof ServiceError) return error;
      throw error;
    }
    const instance = await this.#options.instances.findFresh(instanceUuid);
    if (instance?.taskState === "deleting") {
      return new ServiceError("INSTANCE_BUSY", "the instance is being deleted", {
        metadata: { task_state: "deleting" },
      });
    }
    return unknownToken();
  }
}

/** What cannot be a token is not looked for. */
function hashOf(token: string): string {
  if (token === "" || token.length > MAX_TOKEN_LENGTH) throw unknownToken();
  return hashToken(token);
}

function requireUsable({ state, consoleType }: PresentedToken): void {
  if (state === "expired") throw new ServiceError("TOKEN_EXPIRED", "this link has expired; ask for a new one");
  if (state === "used") throw new ServiceError("TOKEN_USED", "this link has been opened before; ask for a new one");
  if (consoleType === CONSOLE_TYPE) return;
  const message = `this link is for a ${consoleType} console, which has another viewer`;
  throw new ServiceError("CONSOLE_TYPE_INVALID", message, { metadata: { console_type: consoleType } });
}

function unknownToken(): ServiceError {
  return new ServiceError("TOKEN_INVALID", "this link is not valid; ask for a new one");
}
