// SPDX-License-Identifier: Apache-2.0
import type { AuditEvent, AuditFilters, AuditReader } from "../audit/audit-reader.js";
import type { Page, PageRequest } from "../db/page-token.js";
import type { RequestContext } from "../rpc/request-context.js";
import type { InstanceAccess } from "./instance-access.js";

/** Tells who opened which console, of every project. */
export class ListAuditEvents {
  readonly #access: InstanceAccess;
  readonly #audit: AuditReader;

  constructor(access: InstanceAccess, audit: AuditReader) {
    this.#access = access;
    this.#audit = audit;
  }

  /** A page of the audit, newest first. */
  async execute(filters: AuditFilters, page: PageRequest, context: RequestContext): Promise<Page<AuditEvent>> {
    await this.#access.requireVerb({ verb: "audit:read" }, context);
    return this.#audit.list(filters, page);
  }
}
