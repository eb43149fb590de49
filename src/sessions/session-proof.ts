// SPDX-License-Identifier: Apache-2.0
import { createHash, createHmac, randomBytes } from "node:crypto";

const SESSION_ID_BYTES = 16;
const PROOF_BYTES = 32;
// The same in base64url, without padding.
const SESSION_ID = /^[A-Za-z0-9_-]{22}$/;
const PROOF = /^[A-Za-z0-9_-]{43}$/;

/** A new session id: 128 random bits as base64url. It names a session in addresses and logs and opens nothing. */
export function createSessionId(): string {
  return randomBytes(SESSION_ID_BYTES).toString("base64url");
}

/** True for what `createSessionId` could have made. */
export function isSessionId(text: string): boolean {
  return SESSION_ID.test(text);
}

/** A new proof: 256 random bits as base64url. Only the viewer keeps it, in a cookie. */
export function createProof(): string {
  return randomBytes(PROOF_BYTES).toString("base64url");
}

/**
 * The proof of a session that a token opened and opens again: whoever has the token can make it, on every controller, and
 * nothing more is stored.
 */
export function proofFromToken(token: string, sessionId: string): string {
  return createHmac("sha256", token).update(sessionId).digest("base64url");
}

/** True for what `createProof` could have made. */
export function isProof(text: string): boolean {
  return PROOF.test(text);
}

/** What the database keeps of a proof: its SHA-256 in hexadecimal digits. */
export function hashProof(proof: string): string {
  return createHash("sha256").update(proof).digest("hex");
}
