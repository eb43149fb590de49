// SPDX-License-Identifier: Apache-2.0
// What each method asks of its callers. A method without a rule is not served: the program does not start.
import type { Verb } from "../config/policy-table.js";

/**
 * A verb, or where no verb decides: `known` – whoever has proven who it is; `anyone` – strangers too; `enrollment` – what
 * the request carries proves who sends it; `agent` – agents alone, on a listener of their own.
 */
export type MethodRule = Verb | "known" | "anyone" | "enrollment" | "agent";

const SERVICES: Readonly<Record<string, Readonly<Record<string, MethodRule>>>> = {
  "spicegate.console.v1.ConsoleService": {
    GetSpiceConsole: "console:open",
    LookupConsoleToken: "console:lookup",
    RevokeConsoleTokens: "console:revoke",
  },
  "spicegate.session.v1.SessionService": {
    ListSessions: "session:list",
    GetSession: "session:list",
    WatchSessions: "session:watch",
    TerminateSession: "session:terminate",
  },
  "spicegate.inventory.v1.InventoryService": {
    ListInstances: "instance:read",
    GetInstance: "instance:read",
    WatchInstances: "instance:read",
    RegisterInstance: "instance:write",
    UpdateInstance: "instance:write",
    DeleteInstance: "instance:write",
    ListHosts: "host:read",
  },
  "spicegate.audit.v1.AuditService": { ListAuditEvents: "audit:read" },
  "spicegate.identity.v1.IdentityService": {
    GetCaller: "known",
    CreateUserToken: "user:write",
    ListUserTokens: "user:read",
    RevokeUserTokens: "user:write",
    CreateJoinToken: "host:write",
    ListHostIdentities: "host:read",
    RevokeHost: "host:write",
  },
  "spicegate.consoleauth.v1.ConsoleAuthService": {
    AuthorizeConsole: "consoleauth:use",
    CheckToken: "consoleauth:use",
    DeleteTokensForInstance: "consoleauth:use",
  },
  "spicegate.agent.v1.AgentService": { Connect: "agent" },
  "spicegate.agent.v1.EnrollmentService": { Enroll: "enrollment", Renew: "enrollment" },
  "grpc.health.v1.Health": { Check: "anyone", List: "anyone", Watch: "anyone" },
  "grpc.reflection.v1.ServerReflection": { ServerReflectionInfo: "anyone" },
  "grpc.reflection.v1alpha.ServerReflection": { ServerReflectionInfo: "anyone" },
};

/** The rule of each method, by its full name: "/package.Service/Method". */
export const METHOD_RULES: ReadonlyMap<string, MethodRule> = new Map(
  Object.entries(SERVICES).flatMap(([service, methods]) =>
    Object.entries(methods).map(([method, rule]) => [`/${service}/${method}`, rule] as const),
  ),
);

/** The rule of a method. Throws an Error for a method that has none. */
export function ruleOf(path: string): MethodRule {
  const rule = METHOD_RULES.get(path);
  if (rule === undefined) throw new Error(`${path} is not served: it has no rule in src/policy/method-rules.ts`);
  return rule;
}
