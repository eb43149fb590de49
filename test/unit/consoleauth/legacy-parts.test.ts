// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { Registry } from "prom-client";
import { loadControllerConfig } from "../../../src/config/controller-config.js";
import { NO_LEGACY_TOKENS } from "../../../src/consoleauth/console-auth.js";
import type { LegacyParts } from "../../../src/consoleauth/legacy-parts.js";
import { createLegacyParts } from "../../../src/consoleauth/legacy-parts.js";
import { MemcachedStore } from "../../../src/consoleauth/memcached-store.js";
import { MemoryStore } from "../../../src/consoleauth/memory-store.js";
import { RemoteConsoleAuth } from "../../../src/consoleauth/remote-console-auth.js";
import { silentLog } from "../../../src/lib/log.js";
import { createControllerMetrics } from "../../../src/telemetry/controller-metrics.js";
import { hashNamed, legacyConsole } from "../../harness/legacy-consoles.js";

function partsOf(env: Readonly<Record<string, string>>): LegacyParts {
  return createLegacyParts({
    config: loadControllerConfig({ env }),
    database: { query: <Row>() => Promise.resolve([{ adoption: "adopted" } as Row]) },
    metrics: createControllerMetrics(new Registry()),
    log: silentLog,
  });
}

describe("createLegacyParts", () => {
  const on = { SPICEGATE_WORKAROUNDS__ENABLE_CONSOLEAUTH: "true" };
  const cache = { SPICEGATE_CACHE__ENABLED: "true" };
  const address = { SPICEGATE_CONSOLEAUTH__ADDRESS: "127.0.0.1:50054" };

  it("makes nothing while the flag is off, whatever else is set", () => {
    const { tokens, served, parts } = partsOf({ ...cache, ...address });
    expect(tokens).to.equal(NO_LEGACY_TOKENS);
    expect([served, parts]).to.deep.equal([undefined, []]);
  });

  it("keeps the tokens in this process and serves them, unless they are kept elsewhere", () => {
    const { served, parts } = partsOf(on);
    expect(served).to.not.equal(undefined);
    expect(parts.map(({ part }) => part.constructor)).to.deep.equal([MemoryStore]);
  });

  it("keeps them in memcached where that is enabled", () => {
    expect(partsOf({ ...on, ...cache }).parts.map(({ part }) => part.constructor)).to.deep.equal([MemcachedStore]);
  });

  it("takes a token that is used from the store, unless it can be used again", async () => {
    for (const reusable of [false, true]) {
      const { tokens, served } = partsOf({ ...on, SPICEGATE_CONSOLE__COMPAT_TOKENS: String(reusable) });
      const hash = hashNamed("a");
      await served?.authorize(hash, legacyConsole());
      await tokens.bringIn(hash, { consume: true });
      expect((await served?.check(hash, { consume: false })) !== undefined).to.equal(reusable);
    }
  });

  it("asks the service where there is one, and then serves nothing", () => {
    const { served, parts } = partsOf({ ...on, ...cache, ...address });
    expect(served).to.equal(undefined);
    expect(parts.map(({ part }) => part.constructor)).to.deep.equal([RemoteConsoleAuth]);
    for (const { part } of parts) void part.stop();
  });
});
