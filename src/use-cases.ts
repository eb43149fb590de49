// SPDX-License-Identifier: Apache-2.0
// The use cases that callers have, made once: gRPC and REST ask the same objects. Those of viewers are next door, in
// viewer-parts.ts.
import type { AgentRouter } from "./agents/agent-router.js";
import { AuditLog } from "./audit/audit-log.js";
import { AuditReader } from "./audit/audit-reader.js";
import type { ControllerConfig } from "./config/controller-config.js";
import type { UrlForm } from "./console/access-url.js";
import type { ConsoleType } from "./console/console-type.js";
import { GetSpiceConsole } from "./console/get-spice-console.js";
import { InstanceAccess } from "./console/instance-access.js";
import { ListAuditEvents } from "./console/list-audit-events.js";
import { LookupConsoleToken } from "./console/lookup-console-token.js";
import { ManageHosts } from "./console/manage-hosts.js";
import { ManageInventory } from "./console/manage-inventory.js";
import { ManageUsers } from "./console/manage-users.js";
import { ManageSessions } from "./console/manage-sessions.js";
import { RevokeConsoleTokens } from "./console/revoke-console-tokens.js";
import type { HostParts } from "./host-parts.js";
import type { LegacyTokens } from "./consoleauth/console-auth.js";
import type { Database } from "./db/pool.js";
import { UserTokenStore } from "./identity/user-token-store.js";
import type { InstanceRegistry } from "./instances/instance-registry.js";
import type { Log } from "./lib/log.js";
import { ConsoleAuthorizer } from "./tokens/console-authorizer.js";
import { ConsoleTokenStore } from "./tokens/console-token-store.js";
import type { ViewerParts } from "./viewer-parts.js";

/** What the use cases are made from. */
export interface UseCasesOptions {
  readonly config: ControllerConfig;
  readonly database: Database;
  readonly instances: InstanceRegistry;
  readonly agents: AgentRouter;
  readonly viewers: Pick<ViewerParts, "sessions" | "endings" | "watches" | "displays">;
  readonly legacy: LegacyTokens;
  readonly hosts: Pick<HostParts, "authority" | "joinTokens" | "certificates">;
  readonly log: Log;
}

/** What a caller can ask for, over whichever protocol. */
export interface UseCases {
  readonly getSpiceConsole: GetSpiceConsole;
  readonly lookupConsoleToken: LookupConsoleToken;
  readonly revokeConsoleTokens: RevokeConsoleTokens;
  readonly inventory: ManageInventory;
  readonly sessions: ManageSessions;
  readonly users: ManageUsers;
  readonly audit: ListAuditEvents;
  readonly hosts: ManageHosts;
}

/** Constructs them; none of them runs by itself. */
export function createUseCases(options: UseCasesOptions): UseCases {
  const { config, database, instances, agents, viewers, legacy, hosts, log } = options;
  const access = new InstanceAccess({ instances, audit: new AuditLog(database), database, log });
  const tokens = new ConsoleTokenStore(database, { reusable: config.console.compat_tokens });
  return {
    getSpiceConsole: new GetSpiceConsole({
      access,
      instances,
      agents,
      displays: viewers.displays,
      tokens: new ConsoleAuthorizer(database),
      legacy,
      urls: urlForms(config),
      ttlSeconds: config.consoleauth.token_ttl,
      log,
    }),
    lookupConsoleToken: new LookupConsoleToken({ access, tokens, legacy, log }),
    revokeConsoleTokens: new RevokeConsoleTokens({ access, tokens, legacy, log }),
    inventory: new ManageInventory({ access, instances, legacy }),
    sessions: new ManageSessions({ ...viewers, access }),
    users: new ManageUsers({ access, tokens: new UserTokenStore(database), log }),
    audit: new ListAuditEvents(access, new AuditReader(database)),
    hosts: new ManageHosts({ ...hosts, access, log }),
  };
}

/** Native proxies read the token in the query, and so do viewers made for Nova's own. */
function urlForms({ spice, console }: ControllerConfig): Readonly<Record<ConsoleType, UrlForm>> {
  return {
    "spice-html5": { baseUrl: spice.html5proxy_base_url, tokenIn: console.compat_tokens ? "query" : "fragment" },
    "spice-direct": { baseUrl: spice.spice_direct_proxy_base_url, tokenIn: "query" },
  };
}
