// SPDX-License-Identifier: Apache-2.0
// Where the host's certificate is kept. A file is replaced whole, never written into: whoever reads it, and whoever starts
// after a crash, finds the one before or the one after. Certificate and key share a file, so that they always fit.
import type { KeyObject } from "node:crypto";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { accessSync, constants, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseCertificates } from "../src/lib/authorities.js";
import { messageOf } from "../src/lib/message-of.js";

/** What the host proves itself with, and by which authorities (PEM) it knows controllers. */
export interface HostIdentity {
  readonly certificate: X509Certificate;
  readonly key: KeyObject;
  readonly authorities: string;
}

/** What is to be kept. */
export interface NewIdentity {
  /** PEM. */
  readonly certificateChain: string;
  readonly authorities: string;
  readonly key: KeyObject;
}

/** Where the certificate with its key, and the authorities of controllers, are in a folder: PEM. */
export function identityFiles(folder: string): { readonly certFile: string; readonly caFile: string } {
  return { certFile: join(folder, "host.pem"), caFile: join(folder, "ca.pem") };
}

const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;

/** The folder of one host's identity. */
export class IdentityFolder {
  readonly certFile: string;
  readonly caFile: string;
  readonly #folder: string;
  readonly #host: string;

  constructor(folder: string, host: string) {
    this.#folder = folder;
    this.#host = host;
    const { certFile, caFile } = identityFiles(folder);
    this.certFile = certFile;
    this.caFile = caFile;
  }

  /** What is kept. Throws an Error for people where there is nothing that can be used now. */
  read(now = Date.now()): HostIdentity {
    if (!existsSync(this.certFile)) throw new Error(`this host has no certificate yet in ${this.certFile}`);
    const identity = identityFrom(
      this.certFile,
      readFileSync(this.certFile, "utf8"),
      readFileSync(this.caFile, "utf8"),
    );
    const { certificate } = identity;
    if (!names(certificate, this.#host)) throw new Error(`${this.certFile} is not of host ${this.#host}`);
    if (Date.parse(certificate.validTo) > now) return identity;
    throw new Error(`the certificate in ${this.certFile} expired on ${certificate.validTo}`);
  }

  /** Makes the folder. Throws an Error for people where nothing could be kept in it. */
  prepare(): void {
    try {
      mkdirSync(this.#folder, { recursive: true, mode: FOLDER_MODE });
      accessSync(this.#folder, constants.W_OK);
    } catch (error) {
      throw new Error(`nothing can be kept in ${this.#folder} (agent.identity_folder): ${messageOf(error)}`, {
        cause: error,
      });
    }
  }

  /** Keeps it instead of what was kept. Throws where it is not this host's, and what the file system throws. */
  save({ certificateChain, authorities, key }: NewIdentity): void {
    const text = certificateChain + key.export({ type: "pkcs8", format: "pem" }).toString();
    const identity = identityFrom("the certificate that came", text, authorities);
    if (!names(identity.certificate, this.#host)) throw new Error(`the certificate that came is not of ${this.#host}`);
    this.prepare();
    replaceFile(this.caFile, authorities);
    replaceFile(this.certFile, text);
  }
}

function identityFrom(what: string, text: string, authorities: string): HostIdentity {
  try {
    const identity = { certificate: new X509Certificate(text), key: createPrivateKey(text), authorities };
    if (!identity.certificate.checkPrivateKey(identity.key)) throw new Error("the key is another certificate's");
    if (parseCertificates(authorities).length === 0) throw new Error("the authorities are missing");
    return identity;
  } catch (error) {
    throw new Error(`${what} cannot be used: ${messageOf(error)}`, { cause: error });
  }
}

function names({ subjectAltName }: X509Certificate, host: string): boolean {
  return subjectAltName === `DNS:${host}`;
}

function replaceFile(file: string, text: string): void {
  const next = `${file}.next`;
  writeFileSync(next, text, { mode: FILE_MODE, flush: true });
  renameSync(next, file);
}
