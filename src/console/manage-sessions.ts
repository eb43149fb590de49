// SPDX-License-Identifier: Apache-2.0
// What callers may see and do of sessions. As with instances, what a caller does not see looks like what is not there.
import type { RefusalRecorder } from "../audit/refusal-recorder.js";
import type { Page, PageRequest } from "../db/page-token.js";
import { ServiceError } from "../lib/service-error.js";
import { projectOf, seesEveryProject } from "../policy/policy.js";
import type { RequestContext } from "../rpc/request-context.js";
import type { Session, SessionWithChannels } from "../sessions/session.js";
import type { SessionFilters, SessionStore } from "../sessions/session-store.js";
import type { SessionWatches, WatchStep } from "../sessions/session-watches.js";
import { actorFrom } from "./audit-actor.js";
import type { SessionEndings } from "./session-endings.js";
import { noteUnseen } from "./unseen.js";

/** What the use cases need. */
export interface ManageSessionsOptions {
  readonly sessions: Pick<SessionStore, "list" | "find">;
  readonly endings: Pick<SessionEndings, "terminate">;
  readonly watches: Pick<SessionWatches, "watch">;
  readonly refusals: Pick<RefusalRecorder, "record">;
}

/** The use cases of SessionService. */
export class ManageSessions {
  readonly #options: ManageSessionsOptions;

  constructor(options: ManageSessionsOptions) {
    this.#options = options;
  }

  /** A page of the sessions that the caller sees, newest first. */
  async list(
    filters: Omit<SessionFilters, "projectId">,
    page: PageRequest,
    context: RequestContext,
  ): Promise<Page<Session>> {
    const { sessions } = this.#options;
    const { caller } = context;
    if (seesEveryProject(caller)) return sessions.list(filters, page);
    if (caller.project === "") return { items: [], nextPageToken: "" };
    return sessions.list({ ...filters, projectId: caller.project }, page);
  }

  /** One session with its channels. SESSION_NOT_FOUND. */
  async get(sessionId: string, context: RequestContext): Promise<SessionWithChannels> {
    return this.#require(sessionId, context);
  }

  /** Ends a session and answers it as it ended; one that had ended before as it did. SESSION_NOT_FOUND. */
  async terminate(sessionId: string, context: RequestContext): Promise<SessionWithChannels> {
    const session = await this.#require(sessionId, context);
    if (session.endedAt) return session;
    await this.#options.endings.terminate(sessionId, actorFrom(context));
    return (await this.#options.sessions.find(sessionId)) ?? session;
  }

  /** The sessions that the caller sees, and what happens to them, until the caller goes away. */
  async *watch(instanceUuid: string | undefined, context: RequestContext): AsyncGenerator<WatchStep, void> {
    const { watches } = this.#options;
    const { caller, signal } = context;
    yield* watches.watch({ instanceUuid, projectId: projectOf(caller) }, signal);
  }

  /** The same statement finds nothing where there is no such session and where it is somebody else's. */
  async #require(sessionId: string, context: RequestContext): Promise<SessionWithChannels> {
    const { sessions, refusals } = this.#options;
    const session = await sessions.find(sessionId, projectOf(context.caller));
    if (session) return session;
    noteUnseen(refusals, { reason: "SESSION_NOT_FOUND", sessionId }, context);
    throw new ServiceError("SESSION_NOT_FOUND", `there is no session ${sessionId}`);
  }
}
