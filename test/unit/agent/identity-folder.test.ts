// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { createPrivateKey } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { IdentityFolder } from "../../../agent/identity-folder.js";
import type { TestCertificate } from "../../harness/certificates.js";
import { TestAuthority } from "../../harness/certificates.js";

describe("IdentityFolder", () => {
  const authority = new TestAuthority();
  const own = authority.issue({ names: "DNS:host-1" });
  const other = authority.issue({ names: "DNS:host-1,DNS:host-2" });
  let path: string;
  let folder: IdentityFolder;

  after(() => authority.remove());
  beforeEach(() => {
    path = join(mkdtempSync(join(tmpdir(), "test-identity-folder-")), "new");
    folder = new IdentityFolder(path, "host-1");
  });
  afterEach(() => rmSync(join(path, ".."), { recursive: true, force: true }));

  const save = ({ cert, key }: Pick<TestCertificate, "cert" | "key">, authorities = authority.cert): void =>
    folder.save({ certificateChain: cert, authorities, key: createPrivateKey(key) });

  it("gives back what it keeps, in files for nobody else", () => {
    save(own);
    const { certificate, key, authorities } = folder.read();
    expect([certificate.toString(), authorities]).to.deep.equal([own.cert, authority.cert]);
    expect(certificate.checkPrivateKey(key)).to.equal(true);
    expect([path, folder.certFile, folder.caFile].map((name) => statSync(name).mode & 0o777)).to.deep.equal([
      0o700, 0o600, 0o600,
    ]);
    expect(readdirSync(path)).to.have.members(["host.pem", "ca.pem"]);
  });

  it("keeps what it has where something comes that is not this host's, or does not fit", () => {
    save(own);
    const stranger = authority.issue({ names: "DNS:host-1" });
    expect(() => save(other)).to.throw("is not of host-1");
    expect(() => save({ cert: own.cert, key: stranger.key })).to.throw("cannot be used");
    expect(() => save(own, "nothing")).to.throw("authorities are missing");
    expect(folder.read().certificate.toString()).to.equal(own.cert);
  });

  it("says why there is nothing that can be used", () => {
    expect(() => folder.read()).to.throw("no certificate yet");
    save(own);
    expect(() => folder.read(Date.now() + 2 * 86_400_000)).to.throw("expired on");
    expect(() => new IdentityFolder(path, "host-2").read()).to.throw("is not of host host-2");
    writeFileSync(folder.certFile, "half");
    expect(() => folder.read()).to.throw("cannot be used");
    expect(existsSync(folder.certFile)).to.equal(true);
  });
});
