// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { z } from "zod";
import {
  authoritiesSetting,
  checkTls,
  tlsFileNames,
  tlsFileProblems,
  tlsSettings,
} from "../../../src/lib/tls-settings.js";
import { TestAuthority } from "../../harness/certificates.js";

const schema = z
  .strictObject({
    listen: z.string().optional(),
    others: z.array(z.string()).default([]),
    ...tlsSettings("door", "door.listen"),
    ...authoritiesSetting("guests"),
  })
  .superRefine(checkTls("door", ["listen", "others"]));

const problemsOf = (settings: object): string[] =>
  (schema.safeParse(settings).error?.issues ?? []).map(({ path, message }) => `${path.join(".")}: ${message}`);

const BEYOND = ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "door.example:1"];

describe("checkTls", () => {
  it("lets what has no certificate stay on this machine", () => {
    for (const listen of [undefined, "127.0.0.1:1", "[::1]:1", "localhost:1"]) {
      expect(problemsOf({ listen, others: [listen ?? "127.0.0.2:1"] })).to.deep.equal([]);
    }
  });

  it("refuses it anywhere else, in a list too, and says what to do", () => {
    for (const address of BEYOND) {
      const [problem] = problemsOf({ listen: address });
      expect(problem).to.match(
        /^listen: must be a loopback address .* without TLS nothing is sent beyond this machine/,
      );
      expect(problem).to.include("set door.cert, or, if everybody on the way may read along, door.insecure: true");
      expect(problemsOf({ others: ["127.0.0.1:1", address] })[0]).to.match(/^others: must be a loopback address/);
    }
  });

  it("lets it go anywhere with a certificate, or on its operator's word", () => {
    for (const listen of BEYOND) {
      expect(problemsOf({ listen, others: [listen], cert: "a.pem" })).to.deep.equal([]);
      expect(problemsOf({ listen, others: [listen], insecure: true })).to.deep.equal([]);
    }
  });

  it("refuses a key and authorities without a certificate, and both words at once", () => {
    expect(problemsOf({ key: "a.key", ca_file: "ca.pem" })).to.deep.equal([
      "key: needs door.cert",
      "ca_file: needs door.cert",
    ]);
    expect(problemsOf({ cert: "a.pem", insecure: true })).to.deep.equal([
      "insecure: contradicts door.cert: take one of the two out",
    ]);
  });
});

describe("The files of a section", () => {
  const authority = new TestAuthority();
  const { certFile: cert, keyFile: key } = authority.issue();
  after(() => authority.remove());

  it("are none without a certificate; the key may be in its file", () => {
    expect(tlsFileNames({})).to.equal(undefined);
    expect(tlsFileNames({ cert: "both.pem" })).to.deep.equal({ cert: "both.pem", key: "both.pem", ca: undefined });
  });

  it("are judged before anything starts", () => {
    const judge = (settings: object): readonly string[] => tlsFileProblems("door", { insecure: false, ...settings });
    expect(judge({})).to.deep.equal([]);
    expect(judge({ cert, key, ca_file: authority.certFile })).to.deep.equal([]);
    expect(judge({ cert })[0]).to.match(/^door\.cert: .* hold no certificate with its key/);
    expect(judge({ cert, key, ca_file: cert })[0]).to.match(/^door\.cert: .* is no authority's certificate$/);
    expect(judge({ cert, key, ca_file: "/missing" })[0]).to.include("/missing");
  });
});
