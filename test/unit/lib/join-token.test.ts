// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { createHash } from "node:crypto";
import { createJoinToken, fingerprintOf, parseJoinToken } from "../../../src/lib/join-token.js";

describe("join tokens", () => {
  const authority = Buffer.from("a certificate");

  it("hold 256 random bits and the fingerprint of a certificate", () => {
    const tokens = Array.from({ length: 100 }, () => createJoinToken(authority));
    expect(new Set(tokens.map(({ token }) => token)).size).to.equal(100);
    const fingerprint = createHash("sha256").update(authority).digest("base64url");
    for (const { token } of tokens) {
      const [secret = "", print] = token.slice("sgj_".length).split(".");
      expect(Buffer.from(secret, "base64url")).to.have.length(32);
      expect(print).to.equal(fingerprint);
    }
    expect(fingerprintOf(authority)).to.equal(fingerprint);
  });

  it("are read with white space around them, and not with anything else", () => {
    const made = createJoinToken(authority);
    for (const text of [made.token, `${made.token}\n`, `  ${made.token}\r\n`]) {
      expect(parseJoinToken(text)).to.deep.equal(made);
    }
    const { token } = made;
    const bad = ["", token.slice(1), token.slice(0, -1), `${token}x`, token.replace(".", ""), `${token}\n${token}`];
    for (const text of bad) expect(parseJoinToken(text), text).to.equal(undefined);
  });
});
