// SPDX-License-Identifier: Apache-2.0
import type { Server } from "@grpc/grpc-js";
import type { AuditServiceServer } from "../../proto/gen/spicegate/audit/v1/audit.js";
import { AuditServiceService } from "../../proto/gen/spicegate/audit/v1/audit.js";
import type { AuditReader } from "../audit/audit-reader.js";
import { withMalformedMessages } from "../rpc/malformed-message.js";
import type { UnaryHandlers } from "../rpc/unary-handler.js";
import { auditFiltersFrom, messageFromAuditEvent } from "./audit-messages.js";
import { pageFrom } from "./page-messages.js";

/** Adds spicegate.audit.v1.AuditService to a server: decode, read, encode. */
export function addAuditService(server: Server, handlers: UnaryHandlers, audit: Pick<AuditReader, "list">): void {
  const implementation: AuditServiceServer = {
    listAuditEvents: handlers.handle(AuditServiceService.listAuditEvents, async (request) => {
      const page = await audit.list(auditFiltersFrom(request), pageFrom(request));
      return { events: page.items.map(messageFromAuditEvent), nextPageToken: page.nextPageToken };
    }),
  };
  server.addService(withMalformedMessages(AuditServiceService), implementation);
}
