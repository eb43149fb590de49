// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { CONSOLE_SITUATIONS } from "../../../docs/console-situations.js";

// Read from the files, so that the answer is the same whichever of them this run has loaded.
function testedSituations(): string[] {
  const folder = import.meta.dirname;
  const files = readdirSync(folder).filter((name) => name.endsWith(".test.js"));
  const sources = files.map((name) => readFileSync(join(folder, name), "utf8")).join("\n");
  return [...sources.matchAll(/^ *(?:opens|refuses|situation)\("([^"]+)"/gm)].map(([, title = ""]) => title);
}

describe("the table of console situations", () => {
  it("has exactly one test for each row", () => {
    const rows = CONSOLE_SITUATIONS.map(({ situation }) => situation);
    expect(testedSituations().sort()).to.deep.equal(rows.sort());
  });
});
