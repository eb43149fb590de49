// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadControllerConfig } from "../../../src/config/controller-config.js";
import { ConfigError } from "../../../src/config/load-config.js";
import { DEFAULT_POLICY, parsePolicy, readPolicy, VERBS } from "../../../src/config/policy-table.js";

function problemsOf(text: string): readonly string[] {
  try {
    parsePolicy(text);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

describe("A policy's table", () => {
  it("has the roles that the text lists, and nobody for what it leaves out", () => {
    const table = parsePolicy("console:open: [reader, admin]\nhost:read: []\n");
    expect(table["console:open"]).to.deep.equal(["reader", "admin"]);
    expect(Object.keys(table)).to.deep.equal(Object.keys(VERBS));
    const others = Object.entries(table).filter(([verb]) => verb !== "console:open");
    for (const [verb, roles] of others) expect(roles, verb).to.deep.equal([]);
  });

  it("names everything that is wrong, with what was meant", () => {
    const text = "consol:open: [admin]\nhost:read: admin\naudit:read: [admin, auditr, 7]\ntoString: [admin]\n";
    expect(problemsOf(text)).to.deep.equal([
      "consol:open: no such verb; did you mean console:open?",
      "host:read: must be a list of roles, such as [admin, service]",
      'audit:read: "auditr" is no role; did you mean auditor?',
      "audit:read: 7 is no role",
      "toString: no such verb",
    ]);
    expect(problemsOf("host:read: [{ toString: 1 }]")).to.deep.equal(['host:read: {"toString":1} is no role']);
  });

  it("gives nobody who is bound to a project what reaches every project", () => {
    const bound = Object.entries(VERBS).filter(([, { everyProject }]) => everyProject);
    expect(bound.map(([verb]) => verb)).to.include.members(["instance:write", "console:lookup", "user:write"]);
    for (const [verb] of bound) {
      expect(problemsOf(`${verb}: [admin, member, reader]`)).to.have.length(2);
      expect(problemsOf(`${verb}: [admin, service, auditor]`)).to.deep.equal([]);
    }
    const usual = Object.entries(DEFAULT_POLICY).map(([verb, roles]) => `${verb}: [${roles.join(", ")}]\n`);
    expect(problemsOf(usual.join(""))).to.deep.equal([]);
  });

  it("is not what holds no verbs", () => {
    for (const text of ["", "# nothing\n", "[admin]", "admin", "a: ["]) {
      expect(problemsOf(text), JSON.stringify(text)).to.have.length(1);
    }
    expect(problemsOf("console:open: [admin]\nconsole:open: [member]\n")[0]).to.contain("DUPLICATE_KEY at line");
  });

  it("is refused before it can hold the process up, or end it", () => {
    const texts: readonly [RegExp, string][] = [
      [/nested/, "[".repeat(50_000)],
      [/nested/, `a: ${"{a: ".repeat(17)}`],
      [/nested/, "- ".repeat(10_000)],
      [/nested/, `${"\n- - - -".repeat(4)}${" -".repeat(20)} a`],
      [/begin with/, "? ".repeat(20_000)],
      [/begin with/, Array.from({ length: 300 }, (_, at) => `${" ".repeat(at)}?\n`).join("")],
      [/longer/, "console:open: [admin]\n".repeat(3_000)],
    ];
    for (const [says, text] of texts) {
      expect(problemsOf(text), text.slice(0, 20)).to.have.length(1);
      expect(problemsOf(text)[0]).to.match(says);
    }
    const lists = `console:open:\n  - admin # [[[[[[[[[[[[[[[[[[[[[[[[[\n${"  - member\n".repeat(20)}`;
    expect(parsePolicy(lists)["console:open"]).to.have.length(21);
    const deep = Array.from({ length: 340 }, (_, at) => `${" ".repeat(at)}a:\n`).join("");
    expect(problemsOf(deep)).to.deep.equal(["a: no such verb"]);
  });

  it("is the default without a file", () => {
    expect(readPolicy(undefined)).to.equal(DEFAULT_POLICY);
  });

  it("is checked with the other settings", () => {
    const folder = mkdtempSync(join(tmpdir(), "policy-"));
    try {
      const file = join(folder, "policy.yaml");
      const load = (): unknown => loadControllerConfig({ env: { SPICEGATE_POLICY__FILE: file } });
      expect(load).to.throw(ConfigError, "policy.file: ENOENT");
      writeFileSync(file, "host:raed: [admin]");
      expect(load).to.throw(ConfigError, "policy.file: host:raed: no such verb; did you mean host:read?");
      writeFileSync(file, "host:read: [admin]");
      expect(load()).to.have.nested.property("policy.file", file);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
