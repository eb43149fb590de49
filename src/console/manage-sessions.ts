// SPDX-License-Identifier: Apache-2.0
// What callers may see and do of sessions. As with instances, what a caller does not see looks like what is not there.
import type { Page, PageRequest } from "../db/page-token.js";
import { ServiceError } from "../lib/service-error.js";
import type { Verb } from "../policy/policy.js";
import { seesEveryProject, seesProject } from "../policy/policy.js";
import type { RequestContext } from "../rpc/request-context.js";
import type { Session, SessionWithChannels } from "../sessions/session.js";
import type { SessionFilters, SessionStore } from "../sessions/session-store.js";
import type { SessionWatches, WatchStep } from "../sessions/session-watches.js";
import { actorFrom } from "./audit-actor.js";
import type { InstanceAccess } from "./instance-access.js";
import type { SessionEndings } from "./session-endings.js";

/** What the use cases need. */
export interface ManageSessionsOptions {
  readonly access: InstanceAccess;
  readonly sessions: Pick<SessionStore, "list" | "find">;
  readonly endings: Pick<SessionEndings, "terminate">;
  readonly watches: Pick<SessionWatches, "watch">;
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
    const { access, sessions } = this.#options;
    await access.requireVerb({ verb: "session:list" }, context);
    const { caller } = context;
    if (seesEveryProject(caller)) return sessions.list(filters, page);
    if (caller.project === "") return { items: [], nextPageToken: "" };
    return sessions.list({ ...filters, projectId: caller.project }, page);
  }

  /** One session with its channels. SESSION_NOT_FOUND. */
  async get(sessionId: string, context: RequestContext): Promise<SessionWithChannels> {
    return this.#require("session:list", sessionId, context);
  }

  /** Ends a session and answers it as it ended; one that had ended before as it did. SESSION_NOT_FOUND. */
  async terminate(sessionId: string, context: RequestContext): Promise<SessionWithChannels> {
    const session = await this.#require("session:terminate", sessionId, context);
    if (session.endedAt) return session;
    await this.#options.endings.terminate(sessionId, actorFrom(context));
    return (await this.#options.sessions.find(sessionId)) ?? session;
  }

  /** The sessions that the caller sees, and what happens to them, until the caller goes away. */
  async *watch(instanceUuid: string | undefined, context: RequestContext): AsyncGenerator<WatchStep, void> {
    const { access, watches } = this.#options;
    await access.requireVerb(
      { verb: "session:watch", ...(instanceUuid === undefined ? {} : { instanceUuid }) },
      context,
    );
    const { caller, signal } = context;
    const projectId = seesEveryProject(caller) ? undefined : caller.project;
    yield* watches.watch({ instanceUuid, projectId }, signal);
  }

  async #require(verb: Verb, sessionId: string, context: RequestContext): Promise<SessionWithChannels> {
    const { access, sessions } = this.#options;
    await access.requireVerb({ verb }, context);
    const session = await sessions.find(sessionId);
    if (session && seesProject(context.caller, session.projectId)) return session;
    throw new ServiceError("SESSION_NOT_FOUND", `there is no session ${sessionId}`);
  }
}
