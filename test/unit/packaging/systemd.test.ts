// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PROJECT_FOLDER } from "../../../demo/spicegate-programs.js";
import {
  MAX_HTTP_CONNECTIONS,
  MAX_TUNNELS_PER_AGENT,
  MAX_WAITING_AGENTS,
  STOP_TOTAL_MS,
} from "../../../src/lib/limits.js";
import { outputOf, runCommand } from "../../harness/run-command.js";

const FOLDER = join(PROJECT_FOLDER, "packaging/systemd");
// Of 10. What is left are the network, unix sockets, memory that is written and run (Node compiles), and the host's files.
const MOST_EXPOSURE = 1.1;
const INSTALLED = "/opt/spicegate/current/bin";
const SERVICES = readdirSync(FOLDER).filter((name) => name.endsWith(".service"));
const read = (name: string): string => readFileSync(join(FOLDER, name), "utf8");

/** The value of a directive; undefined where it is not there. */
function directive(service: string, name: string): string | undefined {
  return new RegExp(`^${name}=(.*)$`, "m").exec(read(service))?.[1];
}

/** The lines that confine a service. */
function confinement(service: string): string[] {
  return read(service)
    .split("\n")
    .filter((line) =>
      /^(Protect|Proc|Private|Restrict[A-Z]|NoNew|Cap|System|Lock|UMask|Remove|LimitCORE|Supplementary|Ambient)/.test(
        line,
      ),
    );
}

describe("packaging/systemd", function () {
  this.timeout(30_000);
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "spicegate-systemd-"));
  });
  after(() => rmSync(folder, { recursive: true }));

  it("has services that systemd understands, each line of them", async () => {
    expect(SERVICES).to.have.length(4);
    // systemd wants to see the programs, and an instance of each template.
    const files = SERVICES.map((name) => {
      const file = join(folder, name.replace("@.", "@1."));
      const programs = { "spicegate-agent": "dist/agent/main.js", spicegate: "dist/src/main.js" };
      let text = read(name);
      for (const [bin, main] of Object.entries(programs))
        text = text.replaceAll(`${INSTALLED}/${bin} `, `${join(PROJECT_FOLDER, main)} `);
      writeFileSync(file, text);
      return file;
    });
    const { code, stdout, stderr } = await runCommand("systemd-analyze", ["verify", "--man=no", ...files]);
    expect([code, stdout, stderr]).to.deep.equal([0, "", ""]);
  });

  it("leaves every service little to do harm with, by systemd's own reckoning", async () => {
    for (const name of SERVICES) {
      const judged = await outputOf("systemd-analyze", [
        "security",
        "--offline=true",
        "--no-pager",
        join(FOLDER, name),
      ]);
      const [, exposure] = /exposure level for [^:]+: ([\d.]+) OK/.exec(judged) ?? [];
      expect(Number(exposure), name).to.be.at.most(MOST_EXPOSURE);
    }
  });

  it("starts programs that the package has", () => {
    const { bin } = JSON.parse(readFileSync(join(PROJECT_FOLDER, "package.json"), "utf8")) as { bin: object };
    for (const name of SERVICES) {
      const [program = ""] = (directive(name, "ExecStart") ?? "").split(" ");
      expect(Object.keys(bin).map((known) => `${INSTALLED}/${known}`)).to.include(program);
    }
  });

  it("waits longer for a stop than the programs take", () => {
    for (const name of SERVICES.filter((service) => directive(service, "Type") === "exec")) {
      expect(Number(directive(name, "TimeoutStopSec")), name).to.be.above(STOP_TOTAL_MS / 1_000);
      expect(directive(name, "RestartPreventExitStatus"), name).to.equal("2");
    }
  });

  it("lets the programs open as many descriptors as their bounds need", () => {
    const controller = Number(directive("spicegate-controller@.service", "LimitNOFILE"));
    // Each channel has a tunnel besides its connection.
    expect(controller).to.be.above(2 * MAX_HTTP_CONNECTIONS + MAX_WAITING_AGENTS);
    const agent = Number(directive("spicegate-agent.service", "LimitNOFILE"));
    expect(agent).to.be.above(2 * MAX_TUNNELS_PER_AGENT);
  });

  it("confines every service alike", () => {
    const [first = "", ...others] = SERVICES;
    expect(confinement(first)).to.have.length.above(15).and.to.include("LimitCORE=0");
    for (const other of others) expect(confinement(other), other).to.deep.equal(confinement(first));
  });

  it("makes the users that the services run as, and the folder of their settings", async () => {
    const users = join(FOLDER, "spicegate.sysusers.conf");
    mkdirSync(join(folder, "etc/spicegate"), { recursive: true });
    const secrets = ["controller-1.yaml", "controller.key", "ca.key"].map((name) =>
      join(folder, "etc/spicegate", name),
    );
    for (const file of secrets) writeFileSync(file, "", { mode: 0o644 });
    const agent = join(folder, "etc/spicegate/agent.yaml");
    writeFileSync(agent, "", { mode: 0o600 });
    await outputOf("systemd-sysusers", [`--root=${folder}`, users]);
    const passwd = readFileSync(join(folder, "etc/passwd"), "utf8");
    for (const name of SERVICES) expect(passwd).to.match(new RegExp(`^${directive(name, "User") ?? "none"}:`, "m"));
    if (process.getuid?.() !== 0) return;
    await outputOf("systemd-tmpfiles", ["--create", `--root=${folder}`, join(FOLDER, "spicegate.tmpfiles.conf")]);
    const [, group] = /^spicegate:[^:]*:(\d+):/m.exec(readFileSync(join(folder, "etc/group"), "utf8")) ?? [];
    for (const file of secrets) {
      const { mode, gid } = statSync(file);
      expect([mode & 0o777, gid], file).to.deep.equal([0o640, Number(group)]);
    }
    expect(statSync(agent).mode & 0o777, "the agent's user can read its settings").to.equal(0o644);
  });
});
