// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const GROUPS = 17;

// Read from the files, so that the answer is the same whichever of them this run has loaded.
describe("the groups of tests of compatibility with Nova", () => {
  it("are all there", () => {
    const folder = import.meta.dirname;
    const files = readdirSync(folder).filter((name) => name.endsWith(".test.js"));
    const sources = files.map((name) => readFileSync(join(folder, name), "utf8")).join("\n");
    const numbers = new Set([...sources.matchAll(/^describe\("(\d\d) /gm)].map(([, number]) => Number(number)));
    expect([...numbers].sort((a, b) => a - b)).to.deep.equal(Array.from({ length: GROUPS }, (_, at) => at + 1));
  });
});
