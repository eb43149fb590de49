// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { LocalConsoleAuth } from "../../../src/consoleauth/local-console-auth.js";
import { MemoryStore } from "../../../src/consoleauth/memory-store.js";
import { FakeClock } from "../../fakes/fake-clock.js";
import { hashNamed, legacyConsole } from "../../harness/legacy-consoles.js";

const NOW = Date.parse("2030-01-01T00:00:00Z");
const LOOK = { consume: false };
const after = (seconds: number): Date => new Date(NOW + seconds * 1_000);

describe("LocalConsoleAuth", () => {
  let clock: FakeClock;
  let auth: LocalConsoleAuth;
  const hash = hashNamed("a");

  beforeEach(() => {
    clock = new FakeClock();
    auth = new LocalConsoleAuth({ store: new MemoryStore(clock), ttlSeconds: 600, timeOfDay: () => NOW });
  });

  it("keeps an authorization until it expires", async () => {
    const console = legacyConsole({ expiresAt: after(60) });
    await auth.authorize(hash, console);
    clock.advance(59_999);
    expect(await auth.check(hash, LOOK)).to.deep.equal(console);
    clock.advance(1);
    expect(await auth.check(hash, LOOK)).to.equal(undefined);
  });

  it("keeps none for longer than token_ttl, and says so in its expiry", async () => {
    await auth.authorize(hash, legacyConsole({ expiresAt: after(86_400) }));
    expect(await auth.check(hash, LOOK)).to.deep.include({ expiresAt: after(600) });
    clock.advance(600_000);
    expect(await auth.check(hash, LOOK)).to.equal(undefined);
  });

  it("forgets what had the hash of one that has expired already", async () => {
    await auth.authorize(hash, legacyConsole({ expiresAt: after(60) }));
    await auth.authorize(hash, legacyConsole({ expiresAt: after(0) }));
    expect(await auth.check(hash, LOOK)).to.equal(undefined);
  });

  it("forgets what is consumed, and what belongs to an instance", async () => {
    const console = legacyConsole({ expiresAt: after(60) });
    await auth.authorize(hash, console);
    expect(await auth.check(hash, { consume: true })).to.deep.equal(console);
    expect(await auth.check(hash, { consume: true })).to.equal(undefined);
    await auth.authorize(hash, console);
    expect(await auth.deleteForInstance(console.instanceUuid)).to.equal(1);
    expect(await auth.check(hash, LOOK)).to.equal(undefined);
  });
});
