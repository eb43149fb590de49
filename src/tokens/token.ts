// SPDX-License-Identifier: Apache-2.0
import { createHash, randomBytes } from "node:crypto";

const TOKEN_BYTES = 32;

/** A new console token: 256 random bits as base64url. It lives in the URL only. */
export function createToken(): string {
  return randomBytes(TOKEN_BYTES).toString("base64url");
}

/** What the database keeps of a token: its SHA-256 in hexadecimal digits. */
export function hashToken(token: string): string {
  return createHash("sha256").update(token).digest("hex");
}
