// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import type { Verb } from "../../../src/config/policy-table.js";
import { DEFAULT_POLICY, parsePolicy, ROLES } from "../../../src/config/policy-table.js";
import { Policy, projectOf, seesProject } from "../../../src/policy/policy.js";
import type { Caller, Role } from "../../../src/rpc/caller.js";

const caller = (role: Role, project = ""): Caller => ({ subject: "s", project, roles: [role] });
const callerWith = (roles: readonly Role[]): Caller => ({ subject: "s", project: "p", roles });

describe("Policy", () => {
  const rolesWith = (verb: Verb, policy = new Policy()): Role[] =>
    ROLES.filter((role) => policy.allows(caller(role), verb));

  it("has the safe default", () => {
    expect(rolesWith("console:open")).to.deep.equal(["admin", "member", "reader", "service"]);
    expect(rolesWith("console:lookup"), "as Nova does").to.deep.equal(["admin", "service"]);
    expect(rolesWith("audit:read")).to.deep.equal(["admin", "auditor"]);
    for (const verb of ["user:read", "user:write", "host:write"] as const) {
      expect(rolesWith(verb), verb).to.deep.equal(["admin"]);
    }
    expect(rolesWith("consoleauth:use")).to.deep.equal(["admin", "service"]);
  });

  it("denies with the verb and the roles, and nothing of the target", () => {
    expect(() => new Policy().require(caller("reader"), "console:revoke"))
      .to.throw("none of your roles (reader) allows console:revoke")
      .with.property("reason", "PERMISSION_DENIED");
  });

  it("goes by the table that was put into its place, from the next question on", () => {
    const policy = new Policy();
    policy.replace(parsePolicy("console:open: [member]"));
    expect(rolesWith("console:open", policy)).to.deep.equal(["member"]);
    expect(rolesWith("audit:read", policy), "what is not listed nobody may do").to.deep.equal([]);
    policy.replace(DEFAULT_POLICY);
    expect(policy.allows(caller("admin"), "audit:read")).to.equal(true);
  });

  it("lets whoever is nothing but a reader only look", () => {
    const policy = new Policy();
    expect(policy.opensViewOnly(callerWith(["reader"]))).to.equal(true);
    expect(policy.opensViewOnly(callerWith(["auditor", "reader"]))).to.equal(true);
    expect(policy.opensViewOnly(callerWith(["reader", "member"]))).to.equal(false);
    expect(policy.opensViewOnly(callerWith(["service"]))).to.equal(false);
    policy.replace(parsePolicy("console:open: [reader, admin]"));
    expect(policy.opensViewOnly(callerWith(["reader", "member"])), "member counts no more").to.equal(true);
  });

  it("shows a member its own project only, and an admin every project", () => {
    expect(seesProject(caller("member", "a"), "a")).to.equal(true);
    expect(seesProject(caller("member", "a"), "b")).to.equal(false);
    expect(seesProject(caller("member", ""), ""), "no project is nobody's").to.equal(false);
    expect(seesProject(caller("admin"), "b")).to.equal(true);
    expect(projectOf(caller("member", "a"))).to.equal("a");
    expect(projectOf(caller("reader", ""))).to.equal("");
    expect(projectOf(caller("service", "a"))).to.equal(undefined);
  });
});
