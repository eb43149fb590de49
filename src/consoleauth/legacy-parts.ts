// SPDX-License-Identifier: Apache-2.0
// The legacy way as the settings want it; off, there is nothing.
import type { ControllerConfig } from "../config/controller-config.js";
import type { Querier } from "../db/connection.js";
import type { NamedPart } from "../lib/lifecycle.js";
import type { Log } from "../lib/log.js";
import type { ControllerMetrics } from "../telemetry/controller-metrics.js";
import { AdoptedTokens } from "./adopted-tokens.js";
import type { AuthorizationStore } from "./authorization-store.js";
import type { ConsoleAuth, LegacyTokens } from "./console-auth.js";
import { NO_LEGACY_TOKENS } from "./console-auth.js";
import { DualTokens } from "./dual-tokens.js";
import { LocalConsoleAuth } from "./local-console-auth.js";
import { MemcachedStore } from "./memcached-store.js";
import { MemoryStore } from "./memory-store.js";
import { RemoteConsoleAuth } from "./remote-console-auth.js";

/** What a controller has of the legacy way. */
export interface LegacyParts {
  readonly tokens: LegacyTokens;
  /** What this controller serves to others; undefined where `spicegate consoleauth` does, or nobody. */
  readonly served: ConsoleAuth | undefined;
  /** In the order of start. */
  readonly parts: readonly NamedPart[];
}

/** What they are made from. */
export interface LegacyPartsOptions {
  readonly config: ControllerConfig;
  readonly database: Querier;
  readonly metrics: ControllerMetrics;
  readonly log: Log;
}

/** A store of this process with the service's view of it. */
export interface LocalParts {
  readonly store: AuthorizationStore;
  readonly consoleAuth: ConsoleAuth;
}

/** Constructs what workarounds.enable_consoleauth asks for; nothing runs before the lifecycle starts it. */
export function createLegacyParts(options: LegacyPartsOptions): LegacyParts {
  const { config, database, metrics, log } = options;
  if (!config.workarounds.enable_consoleauth) return { tokens: NO_LEGACY_TOKENS, served: undefined, parts: [] };
  const { address, token, token_ttl: ttlSeconds } = config.consoleauth;
  const adopted = new AdoptedTokens(database, ttlSeconds);
  const { compat_tokens: reusable } = config.console;
  const dual = (legacy: ConsoleAuth): LegacyTokens => new DualTokens({ legacy, adopted, reusable, metrics, log });
  if (address !== undefined) {
    const remote = new RemoteConsoleAuth(address, token);
    return { tokens: dual(remote), served: undefined, parts: [{ name: "legacy store", part: remote }] };
  }
  const { store, consoleAuth } = createLocalParts(config);
  return { tokens: dual(consoleAuth), served: consoleAuth, parts: [{ name: "legacy store", part: store }] };
}

/** The store that the settings name, for whoever serves it. */
export function createLocalParts({ cache, consoleauth }: Pick<ControllerConfig, "cache" | "consoleauth">): LocalParts {
  const { token_ttl: ttlSeconds } = consoleauth;
  const memcached = { servers: cache.memcache_servers, ttlSeconds };
  const store = cache.enabled ? new MemcachedStore(memcached) : new MemoryStore();
  return { store, consoleAuth: new LocalConsoleAuth({ store, ttlSeconds }) };
}
