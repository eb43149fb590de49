// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { initAuthority, issueForController } from "../../../src/identity/authority-folder.js";
import { parseCertificates } from "../../../src/lib/authorities.js";
import { readAuthorityFiles } from "../../../src/lib/authority-files.js";
import { readTlsIdentity } from "../../../src/lib/tls-files.js";
import { rejectionOf } from "../../harness/rejection.js";

describe("the folder of an authority", () => {
  let folder: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "test-authority-folder-"));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const modeOf = (file: string): number => statSync(file).mode & 0o777;
  const issue = (out: string): ReturnType<typeof issueForController> =>
    issueForController({
      authority: join(folder, "ca"),
      out: join(folder, out),
      names: ["c.example", "::1"],
      days: 30,
    });

  it("gets a certificate that everybody may read and a key that nobody else may, fit for a controller", async () => {
    const files = await initAuthority(join(folder, "ca"), "Our authority", 10);
    expect([modeOf(files.cert), modeOf(files.key)]).to.deep.equal([0o644, 0o600]);
    const [certificate] = readAuthorityFiles(files).certificates;
    expect(certificate.subject).to.equal("CN=Our authority");
    expect(Date.parse(certificate.validTo) - Date.now()).to.be.within(9.9 * 86_400_000, 10 * 86_400_000);
  });

  it("is never overwritten, in part neither", async () => {
    const files = await initAuthority(join(folder, "ca"), "First", 10);
    const before = [readFileSync(files.cert, "utf8"), readFileSync(files.key, "utf8")];
    await rejectionOf(initAuthority(join(folder, "ca"), "Second", 10));
    expect([readFileSync(files.cert, "utf8"), readFileSync(files.key, "utf8")]).to.deep.equal(before);
    writeFileSync(join(folder, "ca.pem"), "something else");
    await rejectionOf(initAuthority(folder, "Third", 10));
    expect(existsSync(join(folder, "ca.key"))).to.equal(false);
    expect(readFileSync(join(folder, "ca.pem"), "utf8")).to.equal("something else");
  });

  it("issues what a listener can show: its certificate with the authority's behind it, and a key", async () => {
    const authority = await initAuthority(join(folder, "ca"), "Ours", 10);
    const files = await issue("controller");
    expect(readTlsIdentity(files).expiresAt.getTime()).to.be.greaterThan(Date.now() + 29 * 86_400_000);
    const [own, issuer] = parseCertificates(readFileSync(files.cert, "utf8"));
    expect(own?.subjectAltName).to.equal("DNS:c.example, IP Address:0:0:0:0:0:0:0:1");
    expect(own?.keyUsage).to.deep.equal(["1.3.6.1.5.5.7.3.1"]);
    expect(issuer?.toString()).to.equal(readFileSync(authority.cert, "utf8"));
    expect(modeOf(files.key)).to.equal(0o600);
    await rejectionOf(issue("controller"));
  });
});
