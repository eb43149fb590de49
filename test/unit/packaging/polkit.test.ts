// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { runInNewContext } from "node:vm";
import { PROJECT_FOLDER } from "../../../demo/spicegate-programs.js";

const FOLDER = join(PROJECT_FOLDER, "packaging/polkit");
const ALLOWED = [
  "org.libvirt.unix.manage",
  "org.libvirt.api.connect.getattr",
  "org.libvirt.api.connect.read",
  "org.libvirt.api.connect.search-domains",
  "org.libvirt.api.domain.getattr",
  "org.libvirt.api.domain.read",
  "org.libvirt.api.domain.open-graphics",
];
// Some of what libvirt 9 can be asked for besides; the rules do not list them, so they know of no others either.
const FORBIDDEN = [
  "org.libvirt.unix.monitor",
  "org.libvirt.api.connect.write",
  "org.libvirt.api.connect.search-secrets",
  ...["start", "stop", "suspend", "write", "delete", "save", "migrate", "snapshot", "core-dump", "mem-read"].map(
    domain,
  ),
  ...["read-secure", "screenshot", "send-input", "set-password", "open-device", "open-namespace"].map(domain),
  "org.libvirt.api.secret.read-secure",
  "org.libvirt.api.storage-vol.data-read",
  "org.libvirt.of-tomorrow",
];

function domain(permission: string): string {
  return `org.libvirt.api.domain.${permission}`;
}

type Answer = "yes" | "no" | undefined;
type Rule = (
  action: { readonly id: string },
  subject: { readonly user: string; isInGroup(name: string): boolean },
) => Answer;

/** The rules of a file, run as polkitd runs them: a script with nothing around it but `polkit`. */
function rulesOf(file: string): Rule[] {
  const rules: Rule[] = [];
  const polkit = {
    addRule: (rule: Rule) => rules.push(rule),
    Result: { YES: "yes", NO: "no", NOT_HANDLED: undefined },
  };
  runInNewContext(readFileSync(join(FOLDER, file), "utf8"), { polkit }, { filename: file });
  return rules;
}

/** What polkitd answers by these files: the first rule that says something, in the order of the files' names. */
function ask(files: readonly string[], action: string, user: string, groups: readonly string[] = []): Answer {
  const subject = { user, isInGroup: (name: string) => groups.includes(name) };
  for (const rule of [...files].sort().flatMap(rulesOf)) {
    const answer = rule({ id: action }, subject);
    if (answer !== undefined) return answer;
  }
  return undefined;
}

describe("packaging/polkit", () => {
  const agent = ["40-spicegate-agent.rules"];
  const both = [...agent, "61-libvirt-group.rules"];

  it("lets the agent find and read machines and open their displays", () => {
    for (const action of ALLOWED) expect(ask(agent, action, "spicegate-agent"), action).to.equal("yes");
  });

  it("lets the agent do nothing else with libvirt, whatever other rules say", () => {
    for (const action of FORBIDDEN) {
      expect(ask(agent, action, "spicegate-agent"), action).to.equal("no");
      expect(ask(both, action, "spicegate-agent", ["libvirt"]), action).to.equal("no");
    }
  });

  it("says nothing of other users, nor of what is not libvirt's", () => {
    for (const action of [...ALLOWED, ...FORBIDDEN]) expect(ask(agent, action, "nova"), action).to.equal(undefined);
    expect(ask(both, "org.freedesktop.login1.reboot", "spicegate-agent", ["libvirt"])).to.equal(undefined);
  });

  it("leaves group libvirt what it has without access rules, and nobody else anything", () => {
    for (const action of [...ALLOWED, ...FORBIDDEN]) {
      expect(ask(both, action, "nova", ["libvirt"]), action).to.equal("yes");
      expect(ask(both, action, "mallory", ["users"]), action).to.equal(undefined);
    }
  });

  it("is JavaScript as old as polkitd's interpreter", () => {
    for (const file of both)
      expect(readFileSync(join(FOLDER, file), "utf8")).to.not.match(/=>|\b(const|let|class)\b |`/);
  });
});
