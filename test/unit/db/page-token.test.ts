// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { pageOf, pageSize, pageStart, pageStartNumber } from "../../../src/db/page-token.js";
import { DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE } from "../../../src/lib/limits.js";

const FIRST = { size: 2, token: "" };
const keyOf = (row: string): string => row;

describe("Pages", () => {
  it("have a hundred rows by default and at most a thousand", () => {
    expect(pageSize({ size: 0, token: "" })).to.equal(DEFAULT_PAGE_SIZE);
    expect(pageSize({ size: 7, token: "" })).to.equal(7);
    expect(pageSize({ size: 5_000, token: "" })).to.equal(MAX_PAGE_SIZE);
  });

  it("end where the next begins", () => {
    const page = pageOf(["a", "b", "c"], FIRST, { host: "h" }, keyOf);
    expect(page.items).to.deep.equal(["a", "b"]);
    expect(pageStart({ size: 2, token: page.nextPageToken }, { host: "h" })).to.equal("b");
  });

  it("have no next one where they hold all that is left", () => {
    expect(pageOf(["a", "b"], FIRST, {}, keyOf).nextPageToken).to.equal("");
    expect(pageOf([], FIRST, {}, keyOf)).to.deep.equal({ items: [], nextPageToken: "" });
  });

  it("take an absent filter and one that is undefined for the same", () => {
    const { nextPageToken: token } = pageOf(["a", "b", "c"], FIRST, { host: "h", name: undefined }, keyOf);
    expect(pageStart({ size: 2, token }, { host: "h" })).to.equal("b");
  });

  it("refuse a token of other filters, a long one and nonsense", () => {
    const { nextPageToken: token } = pageOf(["a", "b", "c"], FIRST, { host: "h" }, keyOf);
    expect(() => pageStart({ size: 2, token }, { host: "i" })).to.throw(/page_token/);
    expect(() => pageStart({ size: 2, token: "%%%" }, {})).to.throw(/page_token/);
    expect(() => pageStart({ size: 2, token: token + "A".repeat(1_100) }, { host: "h" })).to.throw(/page_token/);
  });

  it("of a list of numbers begins with a number, whatever its maker put in", () => {
    const tokenWith = (key: string): string =>
      pageOf([key, "next"], { size: 1, token: "" }, {}, (row) => row).nextPageToken;
    expect(pageStartNumber({ size: 1, token: "" }, {})).to.equal(undefined);
    expect(pageStartNumber({ size: 1, token: tokenWith("42") }, {})).to.equal(42n);
    for (const key of ["x", "-1", "1".repeat(19), "1;drop"]) {
      expect(() => pageStartNumber({ size: 1, token: tokenWith(key) }, {})).to.throw("page_token");
    }
  });
});
