// SPDX-License-Identifier: Apache-2.0
// The package's public face for programs: `import { ConsoleServiceClient } from "spicegate/client"`. The one file that
// re-exports.
export {
  ConsoleServiceClient,
  ConsoleServiceService,
  GetSpiceConsoleRequest,
  GetSpiceConsoleResponse,
  LookupConsoleTokenRequest,
  LookupConsoleTokenResponse,
  RevokeConsoleTokensRequest,
  RevokeConsoleTokensResponse,
} from "../proto/gen/spicegate/console/v1/console.js";
export {
  DeleteInstanceRequest,
  DeleteInstanceResponse,
  DisplayKind,
  GetInstanceRequest,
  GetInstanceResponse,
  Host,
  Instance,
  InstanceFault,
  InstanceRemoved,
  InstancesSynced,
  InventoryServiceClient,
  InventoryServiceService,
  ListHostsRequest,
  ListHostsResponse,
  ListInstancesRequest,
  ListInstancesResponse,
  PowerState,
  RegisterInstanceRequest,
  RegisterInstanceResponse,
  UpdateInstanceRequest,
  UpdateInstanceResponse,
  WatchInstancesRequest,
  WatchInstancesResponse,
} from "../proto/gen/spicegate/inventory/v1/inventory.js";
export {
  Channel,
  ChannelType,
  EndReason,
  GetSessionRequest,
  GetSessionResponse,
  ListSessionsRequest,
  ListSessionsResponse,
  Session,
  SessionServiceClient,
  SessionServiceService,
  Synced,
  TerminateSessionRequest,
  TerminateSessionResponse,
  WatchSessionsRequest,
  WatchSessionsResponse,
} from "../proto/gen/spicegate/session/v1/session.js";
export {
  AuditAction,
  AuditEvent,
  AuditServiceClient,
  AuditServiceService,
  ListAuditEventsRequest,
  ListAuditEventsResponse,
} from "../proto/gen/spicegate/audit/v1/audit.js";
export {
  AuthorizeConsoleRequest,
  AuthorizeConsoleResponse,
  AuthorizedConsole,
  CheckTokenRequest,
  CheckTokenResponse,
  ConsoleAuthServiceClient,
  ConsoleAuthServiceService,
  DeleteTokensForInstanceRequest,
  DeleteTokensForInstanceResponse,
} from "../proto/gen/spicegate/consoleauth/v1/consoleauth.js";
export { ErrorInfo, RetryInfo } from "../proto/gen/google/rpc/error_details.js";
export { Status } from "../proto/gen/google/rpc/status.js";
