// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { execFileSync } from "node:child_process";

const LOG = new URL("../../../src/lib/log.js", import.meta.url).href;

/** What a program prints that logs in this way. */
function printed(statement: string, level = "info"): Record<string, unknown>[] {
  const script = `import { createLog } from ${JSON.stringify(LOG)};
    const log = createLog("program", ${JSON.stringify(level)});
    ${statement}; process.exit(0);`;
  const text = execFileSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" });
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

describe("createLog", () => {
  it("prints a JSON line with time, level and program, also right before the process leaves", () => {
    const [line] = printed(`log.info({ host: "a" }, "connected")`);
    expect(line).to.include({ level: "info", program: "program", host: "a", msg: "connected" });
    expect(String(line?.["time"])).to.match(/^\d{4}-\d\d-\d\dT/);
  });

  it("hides values that are secrets by their name", () => {
    const [line] = printed(
      `log.info({ token: "t-1", a: { url: "u-1", password: "p-1", "x-auth-token": "x-1" } }, "x")`,
    );
    expect(JSON.stringify(line)).to.not.match(/t-1|u-1|p-1|x-1/);
    expect(line).to.have.property("token", "[hidden]");
  });

  it("keeps to its level", () => {
    expect(printed(`log.info("x"); log.warn("y")`, "warn").map((line) => line["msg"])).to.deep.equal(["y"]);
  });
});
