// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { requireAuthorities } from "../../../src/lib/authorities.js";
import { TestAuthority } from "../../harness/certificates.js";

describe("requireAuthorities", () => {
  const authorities = [new TestAuthority(), new TestAuthority(), new TestAuthority()];
  after(() => {
    for (const authority of authorities) authority.remove();
  });

  const pem = (count: number): string =>
    authorities
      .slice(0, count)
      .map(({ cert }) => cert)
      .join("\n");

  it("takes one authority or two, with whatever stands between them", () => {
    requireAuthorities(pem(1), "ca.pem");
    requireAuthorities(`# the old one\n${pem(2)}`, "ca.pem");
  });

  it("refuses none, three, a certificate of somebody who is no authority, and nonsense", () => {
    const judge = (text: string) => () => requireAuthorities(text, "ca.pem");
    expect(judge("")).to.throw("ca.pem holds no certificate in PEM form");
    expect(judge(pem(3))).to.throw("ca.pem holds 3 certificates: 2 authorities at most are believed");
    const nobody = authorities[0]?.issue().cert ?? "";
    expect(judge(pem(1) + nobody)).to.throw("ca.pem holds what is no authority's certificate");
    const nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    expect(judge(nonsense)).to.throw("ca.pem holds what is no authority's certificate");
  });
});
