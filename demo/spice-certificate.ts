// SPDX-License-Identifier: Apache-2.0
import { execFile } from "node:child_process";
import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const OPENSSL_MS = 20_000;

/** Makes the three files that QEMU wants for TLS displays on 127.0.0.1, valid for a day; signed by itself. */
export async function makeSpiceCertificate(folder: string): Promise<void> {
  const certificate = join(folder, "server-cert.pem");
  const args = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1"];
  args.push("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", join(folder, "server-key.pem"), "-out", certificate);
  await promisify(execFile)("openssl", args, { timeout: OPENSSL_MS });
  await copyFile(certificate, join(folder, "ca-cert.pem"));
}
