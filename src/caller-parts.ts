// SPDX-License-Identifier: Apache-2.0
// How callers are known, for every program that has some: tokens of our own, then the address of this machine.
import type { ControllerConfig } from "./config/controller-config.js";
import type { Notifications } from "./db/notifications.js";
import type { Database } from "./db/pool.js";
import { UserTokenStore } from "./identity/user-token-store.js";
import { UserTokens } from "./identity/user-tokens.js";
import type { NamedPart } from "./lib/lifecycle.js";
import type { Log } from "./lib/log.js";
import { Callers } from "./rpc/callers.js";
import { LoopbackCallers } from "./rpc/loopback-callers.js";
import type { ControllerMetrics } from "./telemetry/controller-metrics.js";

/** What they are made from. */
export interface CallerPartsOptions {
  readonly config: Pick<ControllerConfig, "identity">;
  readonly database: Database;
  /** It must listen to USER_TOKENS_CHANNEL. */
  readonly notifications: Notifications;
  readonly log: Log;
  readonly metrics: Pick<ControllerMetrics, "authenticationFailures">;
}

/** The callers of each entrance. */
export interface CallerParts {
  readonly grpc: Callers;
  readonly rest: Callers;
  /** In the order of start. */
  readonly parts: readonly NamedPart[];
}

/** Constructs them; nothing runs before the lifecycle starts it. */
export function createCallerParts(options: CallerPartsOptions): CallerParts {
  const { config, database, notifications, log, metrics } = options;
  const { identity } = config;
  const tokens = new UserTokens({ store: new UserTokenStore(database), notifications });
  if (identity.trust_loopback) warnOfLoopback(identity.loopback_caller.roles, log);
  return {
    grpc: new Callers({ sources: [tokens, new LoopbackCallers(identity, "none")], entrance: "grpc", metrics }),
    // Clients of Nova always send a token.
    rest: new Callers({ sources: [tokens, new LoopbackCallers(identity, "any")], entrance: "rest", metrics }),
    parts: [{ name: "user tokens", part: tokens }],
  };
}

function warnOfLoopback(roles: readonly string[], log: Log): void {
  log.warn(
    { roles },
    "whoever connects from this machine needs no token, a web server here too: identity.trust_loopback",
  );
}
