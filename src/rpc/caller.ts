// SPDX-License-Identifier: Apache-2.0
import type { PolicyTable, Verb } from "../config/policy-table.js";

/** What a caller may be, the roles of Nova's policies plus our own for programs and auditors. */
export type Role = PolicyTable[Verb][number];

/** Who asks. Every use case takes one; where it comes from is the entrance's business. */
export interface Caller {
  /** A name for logs and audit. */
  readonly subject: string;
  /** The project whose instances the caller sees; empty = none of its own. */
  readonly project: string;
  readonly roles: readonly Role[];
  /** When what it has shown expires; absent where that does not. */
  readonly expiresAt?: Date;
}

/** Who asks where nobody is known; allowed nothing. */
export const NOBODY: Caller = { subject: "", project: "", roles: [] };

/** True for a caller that sees every project. */
export function isAdmin(caller: Caller): boolean {
  return caller.roles.includes("admin");
}
