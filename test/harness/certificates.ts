// SPDX-License-Identifier: Apache-2.0
import { createHash, X509Certificate } from "node:crypto";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A certificate and its key: the files and what is in them, in PEM form. */
export interface TestCertificate {
  readonly certFile: string;
  readonly keyFile: string;
  readonly cert: string;
  readonly key: string;
}

/** What a certificate is for. */
export interface CertificateWish {
  /** As openssl takes it: "/O=Example/CN=host-1". */
  readonly subject?: string;
  /** As openssl takes it: "IP:127.0.0.1". */
  readonly names?: string;
  /** Its extended key usage, as openssl takes it; any use unless set. */
  readonly use?: "serverAuth" | "clientAuth";
  readonly days?: number;
}

/** An authority that issues certificates, in a folder of its own until `remove`. */
export class TestAuthority {
  readonly folder = mkdtempSync(join(tmpdir(), "test-authority-"));
  /** Its own certificate: whoever trusts it trusts what it issues. */
  readonly certFile = join(this.folder, "ca.pem");
  readonly #keyFile = join(this.folder, "ca.key");
  #issued = 0;

  constructor(subject = "/CN=Test Authority") {
    this.#openssl(["req", "-x509", ...newKey(this.#keyFile), "-days", "2", "-subj", subject, "-out", this.certFile]);
  }

  get cert(): string {
    return readFileSync(this.certFile, "utf8");
  }

  /** By which a browser can be told to trust it: the SHA-256 of its public key, as base64. */
  get keyHash(): string {
    const key = new X509Certificate(this.cert).publicKey.export({ type: "spki", format: "der" });
    return createHash("sha256").update(key).digest("base64");
  }

  /** Issues a certificate, by default for this machine's loopback. */
  issue({
    subject = "/CN=test",
    names = "IP:127.0.0.1,DNS:localhost",
    use,
    days = 1,
  }: CertificateWish = {}): TestCertificate {
    const folder = join(this.folder, String((this.#issued += 1)));
    mkdirSync(folder);
    const [certFile, keyFile] = [join(folder, "cert.pem"), join(folder, "key.pem")];
    const issuer = ["-CA", this.certFile, "-CAkey", this.#keyFile, "-days", String(days)];
    const about = [
      "-subj",
      subject,
      "-utf8",
      "-addext",
      `subjectAltName=${names}`,
      "-addext",
      "basicConstraints=CA:FALSE",
      ...(use === undefined ? [] : ["-addext", `extendedKeyUsage=${use}`]),
    ];
    this.#openssl(["req", "-x509", ...newKey(keyFile), ...issuer, ...about, "-out", certFile]);
    return { certFile, keyFile, cert: readFileSync(certFile, "utf8"), key: readFileSync(keyFile, "utf8") };
  }

  /** Issues anew what it has issued, with a time that was over yesterday. */
  expire({ certFile, keyFile, key }: TestCertificate): Pick<TestCertificate, "cert" | "key"> {
    const [request, late] = [`${certFile}.request`, `${certFile}.expired`];
    this.#openssl([
      "x509",
      "-x509toreq",
      "-in",
      certFile,
      "-signkey",
      keyFile,
      "-copy_extensions",
      "copy",
      "-out",
      request,
    ]);
    const issuer = ["-CA", this.certFile, "-CAkey", this.#keyFile, "-days", "-1"];
    this.#openssl(["x509", "-req", "-in", request, ...issuer, "-copy_extensions", "copy", "-out", late]);
    return { cert: readFileSync(late, "utf8"), key };
  }

  /** A display, say, that shows this authority's own certificate: signed by itself. */
  get itself(): Pick<TestCertificate, "cert" | "key"> {
    return { cert: this.cert, key: readFileSync(this.#keyFile, "utf8") };
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  #openssl(args: readonly string[]): void {
    execFileSync("openssl", args, { stdio: "pipe", timeout: 20_000 });
  }
}

function newKey(file: string): readonly string[] {
  return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", file];
}
