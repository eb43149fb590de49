// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { execFileSync } from "node:child_process";
import { createPrivateKey, generateKeyPairSync, X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Issuer } from "../../../src/identity/certificates.js";
import { createAuthority, createKey, createSerial, issueCertificate } from "../../../src/identity/certificates.js";
import { readAuthorityFiles } from "../../../src/lib/authority-files.js";

const AT = new Date("2026-03-01T12:00:00.000Z");
const UNTIL = new Date("2026-03-08T12:00:00.000Z");

describe("certificates", () => {
  const folder = mkdtempSync(join(tmpdir(), "test-certificates-"));
  after(() => rmSync(folder, { recursive: true, force: true }));

  const file = (name: string): string => join(folder, name);
  const openssl = (...args: string[]): string => execFileSync("openssl", args, { encoding: "utf8", stdio: "pipe" });

  const ofHost = (issuer: Issuer, publicKey = createKey().publicKey): Promise<string> =>
    issueCertificate(issuer, {
      subject: "agent",
      names: ["host-1"],
      use: "client",
      publicKey,
      serial: createSerial(),
      at: AT,
      until: UNTIL,
    });

  async function ownAuthority(): Promise<Issuer> {
    const { certificate, key } = await createAuthority("Ours", 3_650);
    return { certificate: new X509Certificate(certificate), key: createPrivateKey(key) };
  }

  /** One that an operator brings. */
  function foreignAuthority(...newKey: string[]): Issuer {
    const [cert, key] = [file("foreign.pem"), file("foreign.key")];
    const subject = ["-subj", "/C=DE/O=Ünïcode \\, Inc/CN=Foreign", "-utf8"];
    openssl("req", "-x509", ...newKey, "-nodes", "-days", "3650", ...subject, "-keyout", key, "-out", cert);
    const { certificates, key: private_ } = readAuthorityFiles({ cert, key });
    return { certificate: certificates[0], key: private_ };
  }

  it("name the host and nothing else, for the time that was asked for, backdated by five minutes", async () => {
    const issuer = await ownAuthority();
    const { publicKey } = createKey();
    const certificate = new X509Certificate(await ofHost(issuer, publicKey));
    expect(certificate.subjectAltName).to.equal("DNS:host-1");
    expect(Date.parse(certificate.validFrom)).to.equal(AT.getTime() - 300_000);
    expect(Date.parse(certificate.validTo)).to.equal(UNTIL.getTime());
    expect(certificate.keyUsage).to.deep.equal(["1.3.6.1.5.5.7.3.2"]);
    expect(certificate.ca).to.equal(false);
    expect(certificate.publicKey.equals(publicKey)).to.equal(true);
    expect(certificate.verify(issuer.certificate.publicKey)).to.equal(true);
  });

  for (const [kind, newKey] of Object.entries({
    "P-256": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"],
    "P-384": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp384r1"],
    RSA: ["-newkey", "rsa:2048"],
  })) {
    it(`can be signed by an authority that an operator brings (${kind})`, async () => {
      const issuer = foreignAuthority(...newKey);
      const keys = [createKey(), generateKeyPairSync("rsa", { modulusLength: 2_048 })];
      for (const { publicKey } of keys) {
        const certificate = new X509Certificate(await ofHost(issuer, publicKey));
        expect(certificate.checkIssued(issuer.certificate)).to.equal(true);
        expect(certificate.verify(issuer.certificate.publicKey)).to.equal(true);
      }
    });
  }

  it("are taken by OpenSSL's strictest check for the one use that they are made for", async () => {
    const issuer = await ownAuthority();
    const until = new Date(Date.now() + 86_400_000);
    const wish = { subject: "x", names: ["c.example", "192.0.2.1", "::1"], publicKey: createKey().publicKey };
    const now = new Date();
    const how = { ...wish, at: now, until, serial: createSerial() };
    const server = await issueCertificate(issuer, { ...how, use: "server" });
    expect(new X509Certificate(server).subjectAltName).to.equal(
      "DNS:c.example, IP Address:192.0.2.1, IP Address:0:0:0:0:0:0:0:1",
    );
    writeFileSync(file("ca.pem"), issuer.certificate.toString());
    writeFileSync(file("server.pem"), server);
    const check = (purpose: string): string =>
      openssl("verify", "-x509_strict", "-purpose", purpose, "-CAfile", file("ca.pem"), file("server.pem"));
    expect(check("sslserver")).to.include("OK");
    expect(() => check("sslclient")).to.throw(/certificate purpose/i);
  });

  it("have serial numbers of 32 digits that nobody can guess", () => {
    const serials = Array.from({ length: 1_000 }, createSerial);
    expect(new Set(serials).size).to.equal(1_000);
    for (const serial of serials) expect(serial).to.match(/^[4-7][0-9a-f]{31}$/);
  });

  it("of an authority sign others' certificates, and no other authority's", async () => {
    const { certificate } = await ownAuthority();
    expect(certificate.ca).to.equal(true);
    expect(certificate.verify(certificate.publicKey)).to.equal(true);
    writeFileSync(file("ours.pem"), certificate.toString());
    expect(openssl("x509", "-in", file("ours.pem"), "-noout", "-text")).to.match(/CA:TRUE, pathlen:0/);
  });
});
