// SPDX-License-Identifier: Apache-2.0
import type { KeyObject } from "node:crypto";
import { X509Certificate } from "node:crypto";
import type { AuthorityFiles } from "../lib/authority-files.js";
import { ServiceError } from "../lib/service-error.js";
import type { Issuer } from "./certificates.js";
import { issueCertificate } from "./certificates.js";
import type { Issue } from "./host-certificate-store.js";

/** Signs the certificates of hosts. Every replica has the same files, so whatever one of them signs the others believe. */
export class CertificateAuthority {
  readonly #files: AuthorityFiles;

  constructor(files: AuthorityFiles) {
    this.#files = files;
  }

  /** The certificate whose key signs, DER. */
  get certificate(): Buffer {
    return this.#files.certificates[0].raw;
  }

  /** By which agents are to know controllers, one or two certificates: PEM. */
  get authorities(): string {
    return this.#files.certificates.map((certificate) => certificate.toString()).join("");
  }

  /** Makes the certificate of a host's public key, PEM. */
  issue({ host, issuedAt, expiresAt }: Issue, serial: string, publicKey: KeyObject): Promise<string> {
    const issuer: Issuer = { certificate: this.#files.certificates[0], key: this.#files.key };
    const wish = { subject: "spicegate agent", names: [host], use: "client", publicKey, serial } as const;
    return issueCertificate(issuer, { ...wish, at: issuedAt, until: expiresAt });
  }

  /** The certificate (DER) where one of the authorities has signed it; whether it still counts is not said. */
  recognize(der: Uint8Array): X509Certificate | undefined {
    try {
      const certificate = new X509Certificate(der);
      return this.#files.certificates.some((by) => certificate.checkIssued(by) && certificate.verify(by.publicKey))
        ? certificate
        : undefined;
    } catch {
      return undefined;
    }
  }
}

/** Throws ENROLLMENT_DISABLED where there is none. */
export function requireAuthority<T>(authority: T | undefined): T {
  if (authority !== undefined) return authority;
  const message =
    "hosts cannot enrol here: enrollment.ca_cert and enrollment.ca_key are not set (see spicegate ca init)";
  throw new ServiceError("ENROLLMENT_DISABLED", message);
}
