// SPDX-License-Identifier: Apache-2.0
// Who may call: the tokens of people and programs.
import { logAudit } from "../audit/audit-line.js";
import { BOUND_TO_A_PROJECT, ROLES } from "../config/policy-table.js";
import type { Page, PageRequest } from "../db/page-token.js";
import type {
  IssuedUserToken,
  UserTokenRequest,
  UserTokenStore,
  UserTokenTarget,
} from "../identity/user-token-store.js";
import type { UserToken } from "../identity/user-token.js";
import {
  DEFAULT_USER_TOKEN_TTL_S,
  MAX_NAME_LENGTH,
  MAX_USER_TOKEN_TTL_S,
  MIN_USER_TOKEN_TTL_S,
} from "../lib/limits.js";
import type { Log } from "../lib/log.js";
import { ServiceError } from "../lib/service-error.js";
import { invalid, parseText } from "../lib/validate.js";
import type { Caller, Role } from "../rpc/caller.js";
import { isAdmin } from "../rpc/caller.js";
import type { RequestContext } from "../rpc/request-context.js";
import { actorFrom, auditLineFrom } from "./audit-actor.js";

/** What the use cases need. */
export interface ManageUsersOptions {
  readonly tokens: Pick<UserTokenStore, "create" | "list" | "revoke">;
  readonly log: Log;
}

/** A token that is to be made, in the caller's words. */
export interface UserTokenWish {
  readonly subject: string;
  readonly projectId: string;
  readonly roles: readonly string[];
  /** 0: 30 days. */
  readonly ttlSeconds: number;
}

/** The use cases of IdentityService that are about callers. */
export class ManageUsers {
  readonly #options: ManageUsersOptions;

  constructor(options: ManageUsersOptions) {
    this.#options = options;
  }

  /** Who the caller is taken for. Everybody may know that who is anybody. */
  getCaller({ caller }: RequestContext): Caller {
    return caller;
  }

  /**
   * Makes a token; a second call makes another one. For administrators alone, whatever the policy says: who can make tokens
   * can be anybody.
   */
  async createUserToken(wish: UserTokenWish, context: RequestContext): Promise<IssuedUserToken> {
    const { tokens, log } = this.#options;
    if (!isAdmin(context.caller)) throw new ServiceError("PERMISSION_DENIED", "only an admin makes tokens");
    const request = requestFrom(wish);
    const issued = await tokens.create(request, actorFrom(context));
    const { tokenId, subject, projectId: project, roles } = issued.userToken;
    logAudit(log, "user-token-created", { ...auditLineFrom(context), tokenId, target: subject, project, roles });
    return issued;
  }

  /** A page of the tokens that are good, newest first. */
  async listUserTokens(subject: string, page: PageRequest): Promise<Page<UserToken>> {
    return this.#options.tokens.list(subject === "" ? {} : { subject: parseSubject(subject) }, page);
  }

  /** Makes one token, or all of a subject, worthless on every controller, and says how many; a second call finds none. */
  async revokeUserTokens(target: UserTokenTarget, context: RequestContext): Promise<number> {
    const { tokens, log } = this.#options;
    const checked = "tokenId" in target ? { tokenId: parseTokenId(target.tokenId) } : subjectFrom(target);
    const count = await tokens.revoke(checked, actorFrom(context));
    const which = "tokenId" in checked ? checked : { target: checked.subject };
    logAudit(log, "user-tokens-revoked", { ...auditLineFrom(context), ...which, count });
    return count;
  }
}

/** What a token is to stand for. Throws INVALID_ARGUMENT. */
export function requestFrom({ subject, projectId, roles, ttlSeconds }: UserTokenWish): UserTokenRequest {
  const request = {
    subject: parseSubject(subject),
    projectId: parseText(projectId, { field: "project_id", most: MAX_NAME_LENGTH }),
    roles: parseRoles(roles),
    ttlSeconds: parseTtl(ttlSeconds),
  };
  const bound = request.roles.filter((role) => BOUND_TO_A_PROJECT.includes(role));
  if (request.projectId !== "" || bound.length === 0) return request;
  throw invalid("project_id", `must be given for the role ${bound.join(" and ")}, which sees its own project alone`);
}

function subjectFrom({ subject }: { readonly subject: string }): { readonly subject: string } {
  return { subject: parseSubject(subject) };
}

function parseSubject(text: string): string {
  return parseText(text, { field: "subject", most: MAX_NAME_LENGTH, required: true });
}

function parseTokenId(text: string): string {
  if (/^[0-9a-f]{16}$/.test(text)) return text;
  throw invalid("token_id", "must be 16 hex digits, as a list of the tokens shows them");
}

function parseRoles(texts: readonly string[]): readonly Role[] {
  const roles = ROLES.filter((role) => texts.includes(role));
  if (roles.length > 0 && texts.every((text) => roles.some((role) => role === text))) return roles;
  throw invalid("roles", `must be one or more of ${ROLES.join(", ")}`);
}

function parseTtl(seconds: number): number {
  if (seconds === 0) return DEFAULT_USER_TOKEN_TTL_S;
  if (seconds >= MIN_USER_TOKEN_TTL_S && seconds <= MAX_USER_TOKEN_TTL_S) return seconds;
  throw invalid("ttl_seconds", `must be ${MIN_USER_TOKEN_TTL_S} to ${MAX_USER_TOKEN_TTL_S}, or 0 for 30 days`);
}
