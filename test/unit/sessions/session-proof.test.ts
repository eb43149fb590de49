// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { createHash } from "node:crypto";
import { createProof, createSessionId, hashProof, isProof, isSessionId } from "../../../src/sessions/session-proof.js";

describe("session proof", () => {
  it("is 256 bits, the session's id 128, each time others", () => {
    expect(Buffer.from(createProof(), "base64url")).to.have.length(32);
    expect(Buffer.from(createSessionId(), "base64url")).to.have.length(16);
    expect(createProof()).not.to.equal(createProof());
    expect(createSessionId()).not.to.equal(createSessionId());
  });

  it("is stored as its SHA-256", () => {
    expect(hashProof("p")).to.equal(createHash("sha256").update("p").digest("hex"));
  });

  it("knows the shape of an id", () => {
    expect(isSessionId(createSessionId())).to.equal(true);
    const fill = "A".repeat(21);
    for (const text of ["", fill, `${fill}AA`, `${fill}=`, `${fill}/`, `${fill}A\n`, createProof()]) {
      expect(isSessionId(text), text).to.equal(false);
    }
    expect(isProof(createProof())).to.equal(true);
    for (const text of ["", createSessionId(), `${createProof()}\n`]) expect(isProof(text), text).to.equal(false);
  });
});
