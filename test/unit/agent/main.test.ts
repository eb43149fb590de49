// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const program = fileURLToPath(new URL("../../../agent/main.js", import.meta.url));

function run(
  args: readonly string[],
  env: Record<string, string> = {},
): { code: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], {
    encoding: "utf8",
    env: { PATH: process.env["PATH"], ...env },
    timeout: 10_000,
  });
  return { code: status, out: stdout, err: stderr };
}

describe("spicegate-agent", () => {
  it("prints its version", () => {
    const { version } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };
    expect(run(["--version"])).to.include({ code: 0, out: `${version}\n` });
  });

  it("prints what is in effect with check-config", () => {
    const { code, out } = run(["check-config"], { SPICEGATE_AGENT__HOST: "compute-7" });
    expect(code).to.equal(0);
    expect(out).to.contain('agent.host: "compute-7"\n').and.to.contain("spice.enabled: true\n");
  });

  it("says in plain words what is wrong with its configuration and exits with 2", () => {
    const { code, err } = run([], { SPICEGATE_AGENT__CONTROLERS: "[]" });
    expect(code).to.equal(2);
    expect(err).to.contain("did you mean SPICEGATE_AGENT__CONTROLLERS?");
    expect(err).to.not.contain("    at ");
  });

  it("names a configuration file that is not there", () => {
    const { code, err } = run(["--config", "/nonexistent/agent.yaml"]);
    expect(code).to.equal(2);
    expect(err).to.contain("cannot read /nonexistent/agent.yaml");
    expect(run([], { SPICEGATE_CONFIG: "/nonexistent/other.yaml" }).err).to.contain("other.yaml");
  });
});
