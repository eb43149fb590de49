// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { mayUse, requireVerb, seesProject } from "../../../src/policy/policy.js";
import type { Caller, Role } from "../../../src/rpc/caller.js";

const caller = (role: Role, project = ""): Caller => ({ subject: "s", project, roles: [role] });

describe("policy", () => {
  it("lets members open consoles and readers not", () => {
    expect(mayUse(caller("member"), "console:open")).to.equal(true);
    expect(mayUse(caller("reader"), "console:open")).to.equal(false);
    expect(mayUse(caller("auditor"), "console:open")).to.equal(false);
  });

  it("keeps token lookup to administrators and services, as Nova does", () => {
    expect(mayUse(caller("member"), "console:lookup")).to.equal(false);
    expect(mayUse(caller("admin"), "console:lookup")).to.equal(true);
    expect(mayUse(caller("service"), "console:lookup")).to.equal(true);
  });

  it("lets administrators and services, and nobody else, write into the legacy store", () => {
    const roles: readonly Role[] = ["admin", "service", "member", "reader", "auditor"];
    expect(roles.filter((role) => mayUse(caller(role), "consoleauth:use"))).to.deep.equal(["admin", "service"]);
  });

  it("denies with the verb and the roles, and nothing of the target", () => {
    expect(() => requireVerb(caller("reader"), "console:open"))
      .to.throw("none of your roles (reader) allows console:open")
      .with.property("reason", "PERMISSION_DENIED");
  });

  it("shows a member its own project only, and an admin every project", () => {
    expect(seesProject(caller("member", "a"), "a")).to.equal(true);
    expect(seesProject(caller("member", "a"), "b")).to.equal(false);
    expect(seesProject(caller("member", ""), ""), "no project is nobody's").to.equal(false);
    expect(seesProject(caller("admin"), "b")).to.equal(true);
  });
});
