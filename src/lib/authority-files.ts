// SPDX-License-Identifier: Apache-2.0
// The files of a certificate authority: one or two certificates, of which the first signs, and that one's key.
import type { KeyObject, X509Certificate } from "node:crypto";
import { createPrivateKey } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { parseCertificates, requireAuthorities } from "./authorities.js";
import { messageOf } from "./message-of.js";
import { isStrongKey } from "./strong-key.js";

/** Where they are, in PEM form. */
export interface AuthorityFileNames {
  readonly cert: string;
  readonly key: string;
}

/** What is in them. */
export interface AuthorityFiles {
  /** The first signs; whoever has a certificate of the second one is still believed. */
  readonly certificates: readonly [X509Certificate, ...X509Certificate[]];
  readonly key: KeyObject;
}

const READ_BY_OTHERS = 0o007;

/** Reads and checks them. Throws an Error for people that says what is wrong with which file. */
export function readAuthorityFiles(files: AuthorityFileNames): AuthorityFiles {
  const certificates = readCertificates(files.cert);
  const key = readKey(files.key);
  if (!isStrongKey(key))
    throw new Error(`${files.key} must be ECDSA on P-256 or P-384, or RSA with 2048 bits at least`);
  const [first] = certificates;
  if (!first.checkPrivateKey(key))
    throw new Error(`${files.key} is not the key of the first certificate in ${files.cert}`);
  return { certificates, key };
}

function readCertificates(file: string): AuthorityFiles["certificates"] {
  const text = readFileSync(file, "utf8");
  requireAuthorities(text, file);
  const certificates = parseCertificates(text);
  for (const certificate of certificates) requireRoot(certificate, file);
  return certificates as [X509Certificate, ...X509Certificate[]];
}

/** Trust ends at a certificate that has signed itself: one that somebody else has signed would be of no use alone. */
function requireRoot(certificate: X509Certificate, file: string): void {
  const isRoot = certificate.ca && certificate.checkIssued(certificate) && certificate.verify(certificate.publicKey);
  if (isRoot) return;
  throw new Error(`${file} holds a certificate that is no authority's own: it must be a CA's, signed by itself`);
}

function readKey(file: string): KeyObject {
  if ((statSync(file).mode & READ_BY_OTHERS) !== 0) {
    throw new Error(`${file} can be read by everybody on this machine: chmod o-rwx it`);
  }
  const text = readFileSync(file, "utf8");
  try {
    return createPrivateKey(text);
  } catch (error) {
    throw new Error(
      `${file} holds no key that can be used, in PEM form and without a passphrase: ${messageOf(error)}`,
      {
        cause: error,
      },
    );
  }
}
