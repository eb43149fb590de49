// SPDX-License-Identifier: Apache-2.0
// How callers are known, for every program that has some: tokens of our own, then Keystone's where there is one, then the
// address of this machine.
import type { ControllerConfig } from "./config/controller-config.js";
import type { Notifications } from "./db/notifications.js";
import type { Database } from "./db/pool.js";
import { KeystoneTokens } from "./identity/keystone-tokens.js";
import { UserTokenStore } from "./identity/user-token-store.js";
import { UserTokens } from "./identity/user-tokens.js";
import type { NamedPart } from "./lib/lifecycle.js";
import type { Log } from "./lib/log.js";
import type { CallLimits } from "./rpc/call-limits.js";
import { Callers } from "./rpc/callers.js";
import { LoopbackCallers } from "./rpc/loopback-callers.js";
import type { ControllerMetrics } from "./telemetry/controller-metrics.js";

/** What they are made from. */
export interface CallerPartsOptions {
  readonly config: Pick<ControllerConfig, "identity">;
  readonly database: Database;
  /** It must listen to USER_TOKENS_CHANNEL. */
  readonly notifications: Notifications;
  readonly limits: CallLimits;
  readonly log: Log;
  readonly metrics: Pick<ControllerMetrics, "authenticationFailures" | "keystoneSeconds">;
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
  const { config, database, notifications, limits, log, metrics } = options;
  const { identity } = config;
  const tokens = new UserTokens({ store: new UserTokenStore(database), notifications });
  const keystone = identity.keystone ? [new KeystoneTokens({ settings: identity.keystone, metrics, log })] : [];
  // Clients of Nova always send a token; with a Keystone it is one of Keystone's or ours, or no good.
  const restOnLoopback = identity.keystone ? [] : [new LoopbackCallers(identity, "any")];
  if (identity.trust_loopback) warnOfLoopback(identity.loopback_caller.roles, log);
  const counting = { limits, metrics };
  return {
    grpc: new Callers({
      ...counting,
      sources: [tokens, ...keystone, new LoopbackCallers(identity, "none")],
      entrance: "grpc",
    }),
    rest: new Callers({ ...counting, sources: [tokens, ...keystone, ...restOnLoopback], entrance: "rest" }),
    parts: [{ name: "user tokens", part: tokens }, ...keystone.map((part) => ({ name: "keystone", part }))],
  };
}

function warnOfLoopback(roles: readonly string[], log: Log): void {
  log.warn(
    { roles },
    "whoever connects from this machine needs no token, a web server here too: identity.trust_loopback",
  );
}
