// SPDX-License-Identifier: Apache-2.0
import { X509Certificate } from "node:crypto";
import { MAX_AUTHORITIES } from "./limits.js";

const CERTIFICATE = /-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----/gs;

/** The certificates of a text in PEM form, in their order. Throws where one cannot be read. */
export function parseCertificates(pem: string): X509Certificate[] {
  return textsIn(pem).map((text) => new X509Certificate(text));
}

/**
 * Throws an Error for people where a file holds anything but one or two authorities: with more, nobody would know any
 * longer who can let hosts in.
 */
export function requireAuthorities(text: string, file: string): void {
  const found = textsIn(text);
  if (found.length === 0) throw new Error(`${file} holds no certificate in PEM form`);
  if (found.length > MAX_AUTHORITIES) {
    throw new Error(`${file} holds ${found.length} certificates: ${MAX_AUTHORITIES} authorities at most are believed`);
  }
  for (const pem of found) if (!isAuthority(pem)) throw new Error(`${file} holds what is no authority's certificate`);
}

function textsIn(pem: string): readonly string[] {
  return pem.match(CERTIFICATE) ?? [];
}

function isAuthority(pem: string): boolean {
  try {
    return new X509Certificate(pem).ca;
  } catch {
    return false;
  }
}
