// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { momentOf, tableOf } from "../../../src/cli/table.js";

describe("tableOf", () => {
  it("gives each column the width it needs and marks what is empty", () => {
    expect(tableOf(["A", "B"], [["long", ""]])).to.equal("A     B\nlong  -\n");
  });

  it("is a heading alone where there is nothing", () => {
    expect(tableOf(["A", "B"], [])).to.equal("A  B\n");
  });
});

describe("momentOf", () => {
  it("says a moment to the second, and nothing of none", () => {
    expect(momentOf(new Date("2030-01-02T03:04:05.678Z"))).to.equal("2030-01-02T03:04:05Z");
    expect(momentOf(undefined)).to.equal("");
  });
});
