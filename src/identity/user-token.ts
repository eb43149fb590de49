// SPDX-License-Identifier: Apache-2.0
import { createHash, randomBytes } from "node:crypto";
import type { Role } from "../rpc/caller.js";

const TOKEN_BYTES = 32;
const ID_LENGTH = 16;
// The prefix, and 32 bytes in base64url without padding.
const USER_TOKEN = /^sgu_[A-Za-z0-9_-]{43}$/;

/** What is known of a token; the secret is not. */
export interface UserToken {
  readonly tokenId: string;
  readonly subject: string;
  /** The project whose instances it sees; empty = none of its own. */
  readonly projectId: string;
  readonly roles: readonly Role[];
  /** Who made it. */
  readonly createdBy: string;
  readonly createdAt: Date;
  readonly expiresAt: Date;
}

/** A new token: 256 random bits as base64url, behind a prefix by which people and scanners know it. */
export function createUserToken(): string {
  return `sgu_${randomBytes(TOKEN_BYTES).toString("base64url")}`;
}

/** True for what `createUserToken` could have made. */
export function isUserToken(text: string): boolean {
  return USER_TOKEN.test(text);
}

/** What the database keeps of a token: its SHA-256 in hexadecimal digits. */
export function hashUserToken(token: string): string {
  return createHash("sha256").update(token).digest("hex");
}

/** The name of a token, the beginning of its hash: whoever has the token can say which one it is. */
export function userTokenId(tokenHash: string): string {
  return tokenHash.slice(0, ID_LENGTH);
}
