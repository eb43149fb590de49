// SPDX-License-Identifier: Apache-2.0
// What a host joins with: a secret, and the fingerprint of the authority by which its agent knows the service. Both sides
// know the form; the secret means nothing to the agent.
import { createHash, randomBytes } from "node:crypto";

/** A token as the agent sees it. */
export interface JoinToken {
  /** As it is sent. Never logged. */
  readonly token: string;
  /** SHA-256 of the authority's certificate (DER), base64url. */
  readonly fingerprint: string;
}

const SECRET_BYTES = 32;
const FORM = /^sgj_[A-Za-z0-9_-]{43}\.([A-Za-z0-9_-]{43})$/;

/** A new token: 256 random bits, and the fingerprint of a certificate. */
export function createJoinToken(authority: Buffer): JoinToken {
  const fingerprint = fingerprintOf(authority);
  return { token: `sgj_${randomBytes(SECRET_BYTES).toString("base64url")}.${fingerprint}`, fingerprint };
}

/** Undefined for what has not the form of one; white space around it does no harm. */
export function parseJoinToken(text: string): JoinToken | undefined {
  const token = text.trim();
  const fingerprint = FORM.exec(token)?.[1];
  return fingerprint === undefined ? undefined : { token, fingerprint };
}

/** What stands for a certificate (DER) in a token: its SHA-256, base64url. */
export function fingerprintOf(certificate: Buffer): string {
  return createHash("sha256").update(certificate).digest("base64url");
}
