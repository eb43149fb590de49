// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { NAME_KEYS, NUMBER_KEYS, pageOf, pageSize, pageStart } from "../../../src/db/page-token.js";
import type { PageKeys } from "../../../src/db/page-token.js";
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
    expect(pageStart({ size: 2, token: page.nextPageToken }, { host: "h" }, NAME_KEYS)).to.equal("b");
  });

  it("have no next one where they hold all that is left", () => {
    expect(pageOf(["a", "b"], FIRST, {}, keyOf).nextPageToken).to.equal("");
    expect(pageOf([], FIRST, {}, keyOf)).to.deep.equal({ items: [], nextPageToken: "" });
  });

  it("take an absent filter and one that is undefined for the same", () => {
    const { nextPageToken: token } = pageOf(["a", "b", "c"], FIRST, { host: "h", name: undefined }, keyOf);
    expect(pageStart({ size: 2, token }, { host: "h" }, NAME_KEYS)).to.equal("b");
  });

  it("refuse a token of other filters, a long one and nonsense", () => {
    const { nextPageToken: token } = pageOf(["a", "b", "c"], FIRST, { host: "h" }, keyOf);
    expect(() => pageStart({ size: 2, token }, { host: "i" }, NAME_KEYS)).to.throw(/page_token/);
    expect(() => pageStart({ size: 2, token: "%%%" }, {}, NAME_KEYS)).to.throw(/page_token/);
    expect(() => pageStart({ size: 2, token: token + "A".repeat(1_100) }, { host: "h" }, NAME_KEYS)).to.throw(
      /page_token/,
    );
  });

  it("begin with a key of their list, whatever a token's maker put in", () => {
    const start = (key: string, keys: PageKeys): string | undefined => {
      const { nextPageToken: token } = pageOf([key, "next"], { size: 1, token: "" }, {}, keyOf);
      return pageStart({ size: 1, token }, {}, keys);
    };
    expect(pageStart({ size: 1, token: "" }, {}, NUMBER_KEYS)).to.equal(undefined);
    expect(start("42", NUMBER_KEYS)).to.equal("42");
    expect(start("node-1", NAME_KEYS)).to.equal("node-1");
    for (const key of ["", "x", "-1", "1".repeat(19), "1;drop"]) {
      expect(() => start(key, NUMBER_KEYS)).to.throw("page_token");
    }
    expect(() => start("node\0", NAME_KEYS)).to.throw("page_token");
  });
});
