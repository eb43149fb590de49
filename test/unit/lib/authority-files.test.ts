// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { execFileSync } from "node:child_process";
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readAuthorityFiles } from "../../../src/lib/authority-files.js";
import { TestAuthority } from "../../harness/certificates.js";

describe("readAuthorityFiles", () => {
  const authority = new TestAuthority();
  const other = new TestAuthority("/CN=Other Authority");
  const [cert, key] = [join(authority.folder, "some.pem"), join(authority.folder, "some.key")];
  const read = (): unknown => readAuthorityFiles({ cert, key });

  after(() => {
    authority.remove();
    other.remove();
  });

  function write(certificates: readonly string[], keyText = authority.itself.key, mode = 0o600): void {
    writeFileSync(cert, certificates.join(""));
    writeFileSync(key, keyText);
    chmodSync(key, mode);
  }

  it("reads one certificate, or two of which the first has the key", () => {
    write([authority.cert]);
    expect(readAuthorityFiles({ cert, key }).certificates).to.have.length(1);
    write([authority.cert, other.cert], authority.itself.key, 0o640);
    const { certificates } = readAuthorityFiles({ cert, key });
    expect(certificates.map((each) => each.toString())).to.deep.equal([authority.cert, other.cert]);
  });

  it("refuses a key that everybody on the machine can read", () => {
    write([authority.cert], authority.itself.key, 0o644);
    expect(read).to.throw(`${key} can be read by everybody on this machine`);
  });

  it("refuses the key of another certificate, and the second one's", () => {
    write([authority.cert], other.itself.key);
    expect(read).to.throw("is not the key of the first certificate");
    write([authority.cert, other.cert], other.itself.key);
    expect(read).to.throw("is not the key of the first certificate");
  });

  it("refuses more than two, none, and what is no authority's own certificate", () => {
    write([authority.cert, other.cert, authority.cert]);
    expect(read).to.throw("3 certificates");
    write(["nothing"]);
    expect(read).to.throw("holds no certificate in PEM form");
    const leaf = authority.issue();
    write([leaf.cert], leaf.key);
    expect(read).to.throw("no authority");
  });

  it("refuses an authority that another one has signed: it would be of no use alone", () => {
    const [file, keyFile] = [join(authority.folder, "middle.pem"), join(authority.folder, "middle.key")];
    const middle = [
      "-subj",
      "/CN=Middle",
      "-addext",
      "basicConstraints=critical,CA:TRUE",
      "-nodes",
      "-keyout",
      keyFile,
    ];
    const signer = ["-CA", authority.certFile, "-CAkey", join(authority.folder, "ca.key")];
    const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
    execFileSync("openssl", ["req", "-x509", ...newKey, ...middle, ...signer, "-out", file], { stdio: "pipe" });
    write([readFileSync(file, "utf8")], readFileSync(keyFile, "utf8"));
    expect(read).to.throw("signed by itself");
  });

  it("refuses a key of a kind that is not used here, and one with a passphrase", () => {
    const weak = join(authority.folder, "weak.key");
    const subject = ["-subj", "/CN=Weak", "-nodes", "-keyout", weak, "-out", cert];
    execFileSync("openssl", ["req", "-x509", "-newkey", "rsa:1024", ...subject], { stdio: "pipe" });
    writeFileSync(key, readFileSync(weak), { mode: 0o600 });
    expect(read).to.throw("RSA with 2048 bits at least");
    const locked = ["-in", join(authority.folder, "ca.key"), "-aes256", "-passout", "pass:x", "-out", weak];
    execFileSync("openssl", ["ec", ...locked], { stdio: "pipe" });
    write([authority.cert], readFileSync(weak, "utf8"));
    expect(read).to.throw("without a passphrase");
  });
});
