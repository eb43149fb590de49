// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { createToken, hashToken } from "../../../src/tokens/token.js";

describe("Tokens", () => {
  it("are 256 bits in characters that a URL needs not escape", () => {
    expect(createToken()).to.match(/^[A-Za-z0-9_-]{43}$/);
  });

  it("are never the same", () => {
    expect(new Set(Array.from({ length: 1_000 }, createToken)).size).to.equal(1_000);
  });

  it("are stored as SHA-256, as Nova stores them", () => {
    expect(hashToken("abc")).to.equal("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  });
});
