// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { createUserToken, hashUserToken, isUserToken, userTokenId } from "../../../src/identity/user-token.js";

describe("a user token", () => {
  it("is 256 random bits behind a prefix, another one each time", () => {
    const made = new Set(Array.from({ length: 100 }, createUserToken));
    expect(made.size).to.equal(100);
    for (const token of made) expect(token).to.match(/^sgu_[\w-]{43}$/);
  });

  it("is known by its form", () => {
    expect(isUserToken(createUserToken())).to.equal(true);
    for (const text of ["", "sgu_", ` ${createUserToken()}`, `${createUserToken()}\n`, `sgj_${"x".repeat(43)}`]) {
      expect(isUserToken(text), JSON.stringify(text)).to.equal(false);
    }
  });

  it("is named by the beginning of its hash", () => {
    const hash = hashUserToken("sgu_x");
    expect(hash).to.match(/^[0-9a-f]{64}$/);
    expect(userTokenId(hash)).to.equal(hash.slice(0, 16));
  });
});
