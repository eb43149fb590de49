// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { PROJECT_FOLDER } from "../../../demo/spicegate-programs.js";

const PAGE = readFileSync(join(PROJECT_FOLDER, "docs/security/threat-model.md"), "utf8");
/** A test as the page names it: its file, and the words of its `it`. */
const TEST = /`(test\/[\w./-]+\.ts)`: ([^<|]+?)(?= *(?:<br>|\|))/g;

/** The rows of its tables, without their headings. */
const rows = PAGE.split("\n").filter((line) => line.startsWith("| ") && !/^\| (-|threat |asset )/.test(line));
const threats = rows.filter((row) => row.includes("`test/"));

/** Whether a file has a test of this name; names that are put together begin and end as they do in the file. */
function hasTest(file: string, name: string): boolean {
  const source = readFileSync(join(PROJECT_FOLDER, file), "utf8");
  return source.includes(`it("${name}"`);
}

describe("docs/security/threat-model.md", () => {
  it("names tests that there are", () => {
    const named = [...PAGE.matchAll(TEST)].map(([, file = "", name = ""]) => ({ file, name }));
    expect(named).to.have.length.above(30);
    const missing = named.filter(({ file, name }) => !existsSync(join(PROJECT_FOLDER, file)) || !hasTest(file, name));
    expect(missing).to.deep.equal([]);
  });

  it("says of each threat what stops it and which test shows it, or that nothing does", () => {
    const sections = PAGE.split(/^## /m).slice(1);
    const tables = sections.filter((section) => section.includes("| threat"));
    expect(tables).to.have.length.above(5);
    for (const section of tables) {
      const lines = section.split("\n").filter((line) => line.startsWith("| ") && !/^\| (-|threat )/.test(line));
      for (const line of lines) {
        const [, threat = "", stopped = "", shown = ""] = line.split("|").map((cell) => cell.trim());
        expect([threat, stopped], line).to.not.include("");
        expect(shown, line).to.match(/^(`test\/|not tested: )/);
      }
    }
    expect(threats.length).to.be.above(25);
  });
});
