// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { X509Certificate } from "node:crypto";
import { hasSubject, parseSubject } from "../../../src/lib/certificate-subject.js";
import { TestAuthority } from "../../harness/certificates.js";

describe("the subject of a certificate", () => {
  it("is read part by part, escapes and spaces before types aside", () => {
    expect(parseSubject("C=XX, o=Acme\\, Inc.,CN=host-1")).to.deep.equal([
      ["C", "XX"],
      ["O", "Acme, Inc."],
      ["CN", "host-1"],
    ]);
  });

  it("is refused where a part is none", () => {
    for (const text of ["", "host-1", "CN=", "CN=a,,O=b", "CN=a,b", "=a"])
      expect(parseSubject(text), text).to.equal(undefined);
  });

  it("is a certificate's where each part is, in the same order", () => {
    const authority = new TestAuthority();
    try {
      const { cert } = authority.issue({ subject: "/C=XX/O=Acme, Inc. \\\\\\+ Söhne/CN=host-1" });
      const certificate = new X509Certificate(cert);
      const has = (text: string): boolean => hasSubject(certificate, parseSubject(text)!);
      expect(has("C=XX,O=Acme\\, Inc. \\\\+ Söhne,CN=host-1")).to.equal(true);
      for (const other of [
        "CN=host-1",
        "O=Acme\\, Inc. \\\\+ Söhne,C=XX,CN=host-1",
        "C=XX,O=Acme\\, Inc. \\\\+ Söhne,CN=host-2",
        "C=XX,O=Acme\\, Inc. \\\\+ Söhne,CN=host-1,CN=host-1",
      ]) {
        expect(has(other), other).to.equal(false);
      }
    } finally {
      authority.remove();
    }
  });

  it("is nobody's where the certificate has none", () => {
    expect(hasSubject({ subject: undefined as unknown as string }, [["CN", "a"]])).to.equal(false);
  });
});
