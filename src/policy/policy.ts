// SPDX-License-Identifier: Apache-2.0
// Who may do what. A role either has a verb or has not; which instances it then sees is decided by its project, where
// the instance is loaded, so that a role without the verb learns nothing from the uuid it tried.
import type { PolicyTable, Verb } from "../config/policy-table.js";
import { DEFAULT_POLICY } from "../config/policy-table.js";
import { ServiceError } from "../lib/service-error.js";
import type { Caller, Role } from "../rpc/caller.js";
import { isAdmin } from "../rpc/caller.js";

/** The policy in effect. */
export class Policy {
  #table: PolicyTable;

  constructor(table: PolicyTable = DEFAULT_POLICY) {
    this.#table = table;
  }

  /** Puts another table into effect, for every call from now on. */
  replace(table: PolicyTable): void {
    this.#table = table;
  }

  /** True where one of the caller's roles has the verb. */
  allows(caller: Caller, verb: Verb): boolean {
    return this.#rolesWith(caller, verb).length > 0;
  }

  /** Throws PERMISSION_DENIED, the same whatever the call was about, unless the caller has the verb. */
  require(caller: Caller, verb: Verb): void {
    if (this.allows(caller, verb)) return;
    const message = `none of your roles (${caller.roles.join(", ")}) allows ${verb}`;
    throw new ServiceError("PERMISSION_DENIED", message, { metadata: { verb } });
  }

  /** True where the consoles that the caller opens can only be looked at: nothing but reader lets it open them. */
  opensViewOnly(caller: Caller): boolean {
    return this.#rolesWith(caller, "console:open").every((role) => role === "reader");
  }

  #rolesWith(caller: Caller, verb: Verb): readonly Role[] {
    return caller.roles.filter((role) => this.#table[verb].includes(role));
  }
}

/** True where the caller sees an instance of that project: its own, or any for an admin or a service. */
export function seesProject(caller: Caller, project: string): boolean {
  return seesEveryProject(caller) || (project !== "" && project === caller.project);
}

/** The project that the caller is bound to, for statements: undefined for none, and then it sees all; "" sees nothing. */
export function projectOf(caller: Caller): string | undefined {
  return seesEveryProject(caller) ? undefined : caller.project;
}

/** True for the roles that are not bound to a project. */
export function seesEveryProject(caller: Caller): boolean {
  return isAdmin(caller) || caller.roles.includes("service");
}
