// SPDX-License-Identifier: Apache-2.0
// Who may do what. A role either has a verb or has not; which instances it then sees is decided by its project, where
// the instance is loaded, so that a role without the verb learns nothing from the uuid it tried.
import { ServiceError } from "../lib/service-error.js";
import type { Caller, Role } from "../rpc/caller.js";
import { isAdmin } from "../rpc/caller.js";

/** What can be allowed. */
export type Verb =
  | "console:open"
  | "console:lookup"
  | "console:revoke"
  | "session:list"
  | "session:watch"
  | "session:terminate"
  | "instance:read"
  | "instance:write"
  | "host:read"
  | "host:write"
  | "audit:read"
  | "user:read"
  | "user:write"
  | "consoleauth:use";

/** The roles that have each verb. What is not listed is denied. */
const ROLES_WITH = {
  "console:open": ["admin", "member", "service"],
  // Nova's os_compute_api:os-console-auth-tokens is for administrators only; "service" is for native proxies.
  "console:lookup": ["admin", "service"],
  "console:revoke": ["admin", "member", "service"],
  "session:list": ["admin", "member", "reader", "auditor", "service"],
  "session:watch": ["admin", "member", "reader", "auditor", "service"],
  "session:terminate": ["admin", "member", "service"],
  "instance:read": ["admin", "member", "reader", "auditor", "service"],
  "instance:write": ["admin", "service"],
  "host:read": ["admin", "reader", "auditor", "service"],
  "host:write": ["admin"],
  // Every project's: who may read it is nobody's member.
  "audit:read": ["admin", "auditor"],
  // Whoever can make tokens can be anybody.
  "user:read": ["admin"],
  "user:write": ["admin"],
  // Whoever may write authorizations may open any console.
  "consoleauth:use": ["admin", "service"],
} as const satisfies Record<Verb, readonly Role[]>;

/** True where one of the caller's roles has the verb. */
export function mayUse(caller: Caller, verb: Verb): boolean {
  const roles: readonly Role[] = ROLES_WITH[verb];
  return caller.roles.some((role) => roles.includes(role));
}

/** Throws PERMISSION_DENIED, the same whatever the call was about, unless the caller has the verb. */
export function requireVerb(caller: Caller, verb: Verb): void {
  if (mayUse(caller, verb)) return;
  const message = `none of your roles (${caller.roles.join(", ")}) allows ${verb}`;
  throw new ServiceError("PERMISSION_DENIED", message, { metadata: { verb } });
}

/** True where the caller sees an instance of that project: its own, or any for an admin or a service. */
export function seesProject(caller: Caller, project: string): boolean {
  return seesEveryProject(caller) || (project !== "" && project === caller.project);
}

/** True for the roles that are not bound to a project. */
export function seesEveryProject(caller: Caller): boolean {
  return isAdmin(caller) || caller.roles.includes("service");
}
