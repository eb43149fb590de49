// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { pageFrom } from "../../../src/api/page-messages.js";

describe("pageFrom", () => {
  it("bounds the size and the token", () => {
    expect(pageFrom({ pageSize: 1_000, pageToken: "t" })).to.deep.equal({ size: 1_000, token: "t" });
    expect(() => pageFrom({ pageSize: 1_001, pageToken: "" })).to.throw("page_size");
    expect(() => pageFrom({ pageSize: 1, pageToken: "t".repeat(1_025) })).to.throw("page_token");
  });
});
