// SPDX-License-Identifier: Apache-2.0
import type { Log } from "../lib/log.js";
import type { AuditAction } from "./audit-log.js";

/** What a log line tells of an audit event. No token, no proof. */
export interface AuditLine {
  readonly reason?: string;
  readonly subject?: string;
  readonly instance?: string | undefined;
  readonly host?: string | undefined;
  readonly session?: string | undefined;
  readonly channel?: string;
  readonly client?: string;
  readonly requestId?: string;
  readonly count?: number;
  readonly tokenId?: string;
  /** Whose tokens, and what they stand for. */
  readonly target?: string;
  readonly project?: string;
  readonly roles?: readonly string[];
}

/** The one line that an audit event leaves in the log of the controller that wrote it. */
export function logAudit(log: Log, action: AuditAction, line: AuditLine): void {
  log.info({ audit: action, ...line }, "audit event");
}
