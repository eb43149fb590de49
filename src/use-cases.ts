// SPDX-License-Identifier: Apache-2.0
// The use cases that callers have, made once: gRPC and REST ask the same objects. Those of viewers are next door, in
// viewer-parts.ts.
import type { AgentRouter } from "./agents/agent-router.js";
import { AuditReader } from "./audit/audit-reader.js";
import type { ControllerConfig } from "./config/controller-config.js";
import type { UrlForm } from "./console/access-url.js";
import type { ConsoleType } from "./console/console-type.js";
import type { GetSpiceConsoleOptions } from "./console/get-spice-console.js";
import { GetSpiceConsole } from "./console/get-spice-console.js";
import { InstanceAccess } from "./console/instance-access.js";
import { LookupConsoleToken } from "./console/lookup-console-token.js";
import { ManageHosts } from "./console/manage-hosts.js";
import { ManageInventory } from "./console/manage-inventory.js";
import type { ManageSessionsOptions } from "./console/manage-sessions.js";
import { ManageSessions } from "./console/manage-sessions.js";
import { ManageUsers } from "./console/manage-users.js";
import { RevokeConsoleTokens } from "./console/revoke-console-tokens.js";
import type { VerbGate } from "./console/verb-gate.js";
import type { HostParts } from "./host-parts.js";
import type { LegacyTokens } from "./consoleauth/console-auth.js";
import type { Database } from "./db/pool.js";
import { UserTokenStore } from "./identity/user-token-store.js";
import type { InstanceRegistry } from "./instances/instance-registry.js";
import type { Log } from "./lib/log.js";
import type { Policy } from "./policy/policy.js";
import { ConsoleAuthorizer } from "./tokens/console-authorizer.js";
import { ConsoleTokenStore } from "./tokens/console-token-store.js";

/** What the use cases are made from. */
export interface UseCasesOptions {
  readonly config: ControllerConfig;
  readonly database: Database;
  readonly instances: InstanceRegistry;
  readonly agents: AgentRouter;
  /** Of the viewers' parts. */
  readonly viewers: Omit<ManageSessionsOptions, "refusals"> & Pick<GetSpiceConsoleOptions, "displays">;
  readonly refusals: ManageSessionsOptions["refusals"];
  readonly legacy: LegacyTokens;
  readonly policy: Policy;
  readonly gate: VerbGate;
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
  readonly audit: AuditReader;
  readonly hosts: ManageHosts;
}

/** Constructs them; none of them runs by itself. */
export function createUseCases(options: UseCasesOptions): UseCases {
  const { config, database, instances, agents, viewers, legacy, hosts, refusals, policy, gate, log } = options;
  const access = new InstanceAccess({ instances, refusals, database });
  const tokens = new ConsoleTokenStore(database, { reusable: config.console.compat_tokens });
  return {
    getSpiceConsole: new GetSpiceConsole({
      access,
      policy,
      gate,
      instances,
      agents,
      displays: viewers.displays,
      tokens: new ConsoleAuthorizer(database),
      legacy,
      urls: urlForms(config),
      ttlSeconds: config.consoleauth.token_ttl,
      log,
    }),
    lookupConsoleToken: new LookupConsoleToken({ tokens, legacy, log }),
    revokeConsoleTokens: new RevokeConsoleTokens({ access, tokens, legacy, log }),
    inventory: new ManageInventory({ access, instances, legacy }),
    sessions: new ManageSessions({ ...viewers, refusals }),
    users: new ManageUsers({ tokens: new UserTokenStore(database), log }),
    audit: new AuditReader(database),
    hosts: new ManageHosts({ ...hosts, log }),
  };
}

/** Native proxies read the token in the query, and so do viewers made for Nova's own. */
function urlForms({ spice, console }: ControllerConfig): Readonly<Record<ConsoleType, UrlForm>> {
  return {
    "spice-html5": { baseUrl: spice.html5proxy_base_url, tokenIn: console.compat_tokens ? "query" : "fragment" },
    "spice-direct": { baseUrl: spice.spice_direct_proxy_base_url, tokenIn: "query" },
  };
}
