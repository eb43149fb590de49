// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { requestIdFrom } from "../../../src/rpc/request-context.js";

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

describe("requestIdFrom", () => {
  it("keeps the caller's", () => {
    expect(requestIdFrom("req-7f")).to.equal("req-7f");
    expect(requestIdFrom("x".repeat(128))).to.have.length(128);
  });

  it("makes one where there is none or it cannot go into a log line", () => {
    for (const given of [undefined, "", "a b", "a\nb", "é", "x".repeat(129), Buffer.from("bytes")]) {
      expect(requestIdFrom(given), String(given)).to.match(UUID);
    }
  });
});
