// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { explainTlsFailure } from "../../../src/lib/tls-failure.js";

const PARTIES = { peer: "the client", authorities: "agents.ca_file", cert: "agent.cert" };
const failure = (code: string, more: object = {}): Error =>
  Object.assign(new Error("what OpenSSL says"), { code }, more);

describe("explainTlsFailure", () => {
  const words: Readonly<Record<string, string>> = {
    CERT_HAS_EXPIRED: "the certificate of the client has expired: renew it (agent.cert)",
    CERT_NOT_YET_VALID: "is not valid yet: compare the clocks of both machines",
    INVALID_PURPOSE: "is not made for that use",
    UNABLE_TO_VERIFY_LEAF_SIGNATURE: "an authority that agents.ca_file does not hold",
    DEPTH_ZERO_SELF_SIGNED_CERT: "an authority that agents.ca_file does not hold",
    ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE: "the client shows no certificate: set agent.cert",
    ERR_SSL_WRONG_VERSION_NUMBER: "the client speaks no TLS: set agent.cert",
    ERR_SSL_UNSUPPORTED_PROTOCOL: "the client speaks nothing newer than TLS 1.1: update it",
  };

  for (const [code, said] of Object.entries(words)) {
    it(`says what ${code} means and what to do, as an error or as a server's bare word`, () => {
      expect(explainTlsFailure(failure(code), PARTIES)).to.include(said);
      expect(explainTlsFailure(code, PARTIES)).to.include(said);
    });
  }

  it("says which names a certificate has that is for another one", () => {
    const other = failure("ERR_TLS_CERT_ALTNAME_INVALID", { cert: { subjectaltname: "DNS:controller.example" } });
    expect(explainTlsFailure(other, PARTIES)).to.include("(DNS:controller.example)").and.include("what OpenSSL says");
    expect(explainTlsFailure(failure("ERR_TLS_CERT_ALTNAME_INVALID"), PARTIES)).to.include("(it has none)");
  });

  it("says nothing of what says nothing", () => {
    for (const nothing of [failure("ECONNRESET"), new Error("?"), undefined]) {
      expect(explainTlsFailure(nothing, PARTIES)).to.equal(undefined);
    }
  });
});
