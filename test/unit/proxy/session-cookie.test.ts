// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import fc from "fast-check";
import { readProof, writeSessionCookie } from "../../../src/proxy/session-cookie.js";

const PROOF = "a-_9".repeat(10) + "xyz";
const OTHER = "b".repeat(43);

describe("readProof", () => {
  it("finds the proof among other cookies and malformed parts", () => {
    for (const header of [
      `spicegate_session=${PROOF}`,
      `a=b; spicegate_session=${PROOF}; c=d`,
      `;;=; a; spicegate_session=${PROOF};`,
      `spicegate_session; spicegate_session=; spicegate_session=${PROOF}`,
      `spicegate_session=short; spicegate_session=${PROOF}`,
      `spicegate_session=${PROOF}; spicegate_session=${PROOF}`,
    ]) {
      expect(readProof(header), header).to.equal(PROOF);
    }
  });

  it("takes nothing else for a proof", () => {
    for (const header of [
      undefined,
      "",
      "spicegate_session",
      `spicegate_session=${PROOF}x`,
      `spicegate_session="${PROOF}"`,
      `spicegate_session=${PROOF.slice(1)}`,
      `spicegate_session=${PROOF.slice(1)}.`,
      `spicegate_session==${PROOF}`,
      `Spicegate_Session=${PROOF}`,
      `xspicegate_session=${PROOF}`,
      `a=spicegate_session=${PROOF}`,
      `spicegate_session=${PROOF}, spicegate_session=${OTHER}`,
    ]) {
      expect(readProof(header), header).to.equal(undefined);
    }
  });

  it("refuses to choose between two", () => {
    expect(readProof(`spicegate_session=${PROOF}; spicegate_session=${OTHER}`)).to.equal(undefined);
  });

  it("never throws, and gives nothing that is no proof", () => {
    const part = fc.oneof(fc.string(), fc.constant("spicegate_session="), fc.constant(PROOF), fc.constant(";"));
    fc.assert(
      fc.property(fc.array(part), (parts) => {
        expect(readProof(parts.join("")) ?? PROOF).to.match(/^[\w-]{43}$/);
      }),
    );
  });
});

describe("writeSessionCookie", () => {
  const sessionId = "AAAAAAAAAAAAAAAAAAAAAA";
  const cookie = { sessionId, proof: PROOF, secure: false, framed: false };

  it("keeps the proof to its session, away from scripts and other sites", () => {
    const plain = `spicegate_session=${PROOF}; Path=/s/${sessionId}; HttpOnly; SameSite=Strict`;
    expect(writeSessionCookie(cookie)).to.equal(plain);
    expect(writeSessionCookie({ ...cookie, secure: true })).to.equal(`${plain}; Secure`);
  });

  it("lets it into frames of other sites where those are allowed", () => {
    const framed = `spicegate_session=${PROOF}; Path=/s/${sessionId}; HttpOnly; SameSite=None; Secure; Partitioned`;
    expect(writeSessionCookie({ ...cookie, framed: true })).to.equal(framed);
  });

  it("writes what readProof reads", () => {
    expect(readProof(writeSessionCookie(cookie).split(";", 1)[0])).to.equal(PROOF);
  });
});
