// SPDX-License-Identifier: Apache-2.0
import type { KeystoneSettings } from "../config/keystone-settings.js";
import type { Caller, Role } from "../rpc/caller.js";
import type { KeystoneToken } from "./keystone-messages.js";

/** Roles that see instances by a project only; without one they stand for nothing. */
const ROLES_IN_PROJECT: ReadonlySet<Role> = new Set(["member", "reader"]);

/** Makes callers of tokens, by the setting identity.keystone_roles. */
export class KeystoneRoles {
  readonly #roles: ReadonlyMap<string, Role>;

  constructor(roles: KeystoneSettings["roles"]) {
    // OpenStack's policies do not look at the case either.
    this.#roles = new Map(Object.entries(roles).map(([name, role]) => [name.toLowerCase(), role]));
  }

  /**
   * The caller that a token stands for: the user's id, as Nova has it in instances, with the roles in its project. Roles in
   * the whole system count as far as they need no project; those in a domain do not, whose administrator is nobody's here.
   */
  callerOf({ userId: subject, scope, roles, expiresAt }: KeystoneToken): Caller {
    const known = roles.flatMap((name) => this.#roles.get(name.toLowerCase()) ?? []);
    const all = [...new Set(known)];
    const caller = { subject, project: "", expiresAt: new Date(expiresAt) };
    switch (scope.kind) {
      case "project":
        return { ...caller, project: scope.id, roles: all };
      case "system":
        return { ...caller, roles: all.filter((role) => !ROLES_IN_PROJECT.has(role)) };
      case "other":
        return { ...caller, roles: [] };
    }
  }
}
