// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { loadControllerConfig } from "../../../src/config/controller-config.js";
import type { KeystoneToken } from "../../../src/identity/keystone-messages.js";
import { KeystoneRoles } from "../../../src/identity/keystone-roles.js";
import type { Caller } from "../../../src/rpc/caller.js";

const USUAL = loadControllerConfig({ env: {} }).identity.keystone_roles;
const CALLER = { subject: "alice", expiresAt: new Date(1_000) };
const IN_PROJECT = { kind: "project", id: "red" } as const;

function callerOf(roles: readonly string[], scope: KeystoneToken["scope"] = IN_PROJECT, table = USUAL): Caller {
  return new KeystoneRoles(table).callerOf({ expiresAt: 1_000, userId: "alice", scope, roles });
}

describe("KeystoneRoles", () => {
  it("knows Keystone's usual roles, each once and in any case", () => {
    const caller = callerOf(["Member", "_member_", "READER", "admin"]);
    expect(caller).to.deep.equal({ ...CALLER, project: "red", roles: ["member", "reader", "admin"] });
  });

  it("makes nothing of other roles, those of other services' users among them", () => {
    expect(callerOf(["service", "auditor", "creator", "constructor"]).roles).to.deep.equal([]);
  });

  it("goes by the operator's table alone", () => {
    const table = { Watchers: "auditor", member: "reader" } as const;
    expect(callerOf(["watchers", "member", "admin"], IN_PROJECT, table).roles).to.deep.equal(["auditor", "reader"]);
  });

  it("counts a role in the whole system where it needs no project", () => {
    const caller = callerOf(["admin", "member", "reader"], { kind: "system" });
    expect(caller).to.deep.equal({ ...CALLER, project: "", roles: ["admin"] });
  });

  it("knows who has a role in a domain, or nowhere, and gives that none", () => {
    const caller = callerOf(["admin"], { kind: "other" });
    expect(caller).to.deep.equal({ ...CALLER, project: "", roles: [] });
  });
});
