// SPDX-License-Identifier: Apache-2.0
// How viewers made for Nova's proxy come in (console.compat_tokens): each of their connections brings the token, again
// and again until it expires. The first one begins a session, the others find it; whichever controller they come to.
import type { LegacyTokens } from "../consoleauth/console-auth.js";
import { abortError } from "../lib/deadline.js";
import { MAX_ENTRY_LOOKS } from "../lib/limits.js";
import { ServiceError } from "../lib/service-error.js";
import type { SessionEndReason } from "../sessions/session.js";
import type { EnteredSession, SessionStore } from "../sessions/session-store.js";
import type { PresentedToken } from "../tokens/console-token-store.js";
import type { BeginSession } from "./begin-session.js";
import type { TokenCheckOptions } from "./token-check.js";
import { hashOf, knownOf, requireUsable, TokenCheck, usedToken } from "./token-check.js";
import type { ViewerDrain } from "./viewer-drain.js";
import { knownOfSession } from "./viewer-refusals.js";
import type { Learn, ViewerRefusals } from "./viewer-refusals.js";
import { endOf } from "./viewer-sessions.js";
import type {
  OpenedSession,
  PresentedUrl,
  TokenEntrance,
  ViewerChannel,
  ViewerContext,
  ViewerSessions,
} from "./viewer.js";

/** What entering needs. */
export interface EnterByTokenOptions extends TokenCheckOptions {
  readonly legacy: Pick<LegacyTokens, "bringIn">;
  readonly sessions: Pick<SessionStore, "findEntered">;
  readonly beginning: Pick<BeginSession, "enter">;
  readonly viewers: Pick<ViewerSessions, "openChannel">;
  readonly drain: Pick<ViewerDrain, "requireOpen">;
  readonly refusals: ViewerRefusals;
}

/** After these the token begins another session. Any other end was somebody's will, or a limit: the token goes with it. */
const BEGINS_ANEW: readonly SessionEndReason[] = ["ABANDONED", "INSTANCE_STOPPED", "INSTANCE_CRASHED"];

/** What an attempt goes by. */
interface Attempt {
  readonly url: PresentedUrl;
  readonly tokenHash: string;
  readonly context: ViewerContext;
  readonly learn: Learn;
}

/** Lets viewers in by their token alone. */
export class EnterByToken implements TokenEntrance {
  readonly #options: EnterByTokenOptions;
  readonly #check: TokenCheck;

  constructor(options: EnterByTokenOptions) {
    this.#options = options;
    this.#check = new TokenCheck(options);
  }

  /** See TokenEntrance. However many come at the same instant, they are in one session. */
  async openChannel(url: PresentedUrl, context: ViewerContext): Promise<ViewerChannel> {
    const { session, proof } = await this.#enter(url, context);
    return this.#options.viewers.openChannel(session.sessionId, proof, context);
  }

  #enter(url: PresentedUrl, context: ViewerContext): Promise<OpenedSession> {
    const { drain, refusals } = this.#options;
    return refusals.noting({}, context, async (learn) => {
      drain.requireOpen();
      return this.#joinOrBegin({ url, tokenHash: hashOf(url.token), context, learn });
    });
  }

  /** Where another one was quicker, the second look finds its session. */
  async #joinOrBegin(attempt: Attempt): Promise<OpenedSession> {
    let last: EnteredSession | undefined;
    for (let looks = 0; looks < MAX_ENTRY_LOOKS; looks += 1) {
      last = await this.#findLast(attempt);
      const begun = joinable(last) ?? (await this.#begin(attempt, last));
      if (begun) return begun;
    }
    const token = await this.#check.require(attempt.tokenHash);
    requireUsable(token);
    if (isForeign(token, last)) throw usedToken();
    throw await this.#check.whyNot(token);
  }

  async #findLast({ url, tokenHash, learn }: Attempt): Promise<EnteredSession | undefined> {
    const last = await this.#options.sessions.findEntered(tokenHash, url.token);
    if (!last) return undefined;
    learn(knownOfSession(last.session));
    requireScheme(url, last.accessUrlBase);
    return last;
  }

  /** Undefined where something came between our look and the statement. */
  async #begin(attempt: Attempt, last: EnteredSession | undefined): Promise<OpenedSession | undefined> {
    const { url, tokenHash, context, learn } = attempt;
    await this.#options.legacy.bringIn(tokenHash, { consume: false });
    const token = await this.#check.require(tokenHash);
    learn(knownOf(token));
    requireUsable(token);
    requireScheme(url, token.accessUrlBase);
    if (isForeign(token, last)) return undefined;
    const host = await this.#check.askHost(token, context);
    const { requestId, clientAddress, signal } = context;
    if (signal.aborted) throw abortError(signal);
    const { instanceUuid, consoleType } = token;
    const redemption = { tokenHash, consoleType, instanceUuid, host, requestId, clientAddress };
    const after = last?.session.sessionId;
    return this.#options.beginning.enter({ ...redemption, token: url.token, after }, context);
  }
}

/** True where the token has opened a session that is not the one we know: one that has begun since, or of a release before. */
function isForeign({ state }: PresentedToken, last: EnteredSession | undefined): boolean {
  return state === "used" && !last;
}

/** The session, where it can be joined; undefined where another one may begin. Throws TOKEN_USED or SESSION_ENDED. */
function joinable(last: EnteredSession | undefined): OpenedSession | undefined {
  if (!last) return undefined;
  const { session, proof } = last;
  if (proof === undefined) throw usedToken();
  const reason = endOf(last);
  if (reason === undefined) return { session, proof };
  if (BEGINS_ANEW.includes(reason)) return undefined;
  const message = "the console that this link opened was ended; ask for a new one";
  throw new ServiceError("SESSION_ENDED", message, { metadata: { reason } });
}

/** As Nova: a page of http does not use a console that is on https, nor the other way round. */
function requireScheme({ origin }: PresentedUrl, accessUrlBase: string | undefined): void {
  if (origin === undefined || origin === schemeOf(accessUrlBase)) return;
  const message = "the page that opens this console is on another scheme than its URL; use https, or http, for both";
  throw new ServiceError("ORIGIN_REFUSED", message);
}

/** "http" for ws too, and "https" for wss, with which URLs of Nova's other consoles begin. */
function schemeOf(url = ""): string | undefined {
  const secure = /^(?:http|ws)(s?):/i.exec(url)?.[1];
  return secure === undefined ? undefined : `http${secure.toLowerCase()}`;
}
