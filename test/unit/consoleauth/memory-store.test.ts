// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { MemoryStore } from "../../../src/consoleauth/memory-store.js";
import { reasonOf } from "../../../src/lib/service-error.js";
import { FakeClock } from "../../fakes/fake-clock.js";
import { uuidOf } from "../../harness/inventory.js";
import { hashNamed, legacyConsole } from "../../harness/legacy-consoles.js";
import { rejectionOf } from "../../harness/rejection.js";

const TTL_MS = 1_000;
const OTHER = uuidOf(2);

describe("MemoryStore", () => {
  let clock: FakeClock;
  let store: MemoryStore;

  beforeEach(() => {
    clock = new FakeClock();
    store = new MemoryStore(clock, { tokens: 4, perInstance: 3 });
  });

  const put = (name: string, instanceUuid = uuidOf(1), ttlMs = TTL_MS): Promise<void> =>
    store.put(hashNamed(name), legacyConsole({ instanceUuid }), ttlMs);
  const has = async (name: string): Promise<boolean> => (await store.find(hashNamed(name))) !== undefined;

  it("gives back what it keeps, until the very moment of its expiry by the monotonic clock", async () => {
    const console = legacyConsole({ port: undefined, tlsPort: 5901 });
    await store.put(hashNamed("a"), console, TTL_MS);
    clock.advance(TTL_MS - 1);
    expect(await store.find(hashNamed("a"))).to.equal(console);
    clock.advance(1);
    expect(await has("a")).to.equal(false);
    expect(await store.take(hashNamed("a"))).to.equal(undefined);
  });

  it("gives one of two who take it the console", async () => {
    await put("a");
    const taken = await Promise.all([store.take(hashNamed("a")), store.take(hashNamed("a"))]);
    expect(taken.filter(Boolean)).to.have.length(1);
  });

  it("removes what belongs to one instance and counts what had not expired", async () => {
    await put("old", uuidOf(1), 1);
    await put("a");
    await put("b");
    await put("other", OTHER);
    clock.advance(1);
    expect(await store.removeAll(uuidOf(1))).to.equal(2);
    expect(await store.removeAll(uuidOf(1))).to.equal(0);
    expect([await has("a"), await has("b"), await has("other")]).to.deep.equal([false, false, true]);
  });

  it("replaces one of the same hash, and lets the old one's instance have no part in it", async () => {
    await put("a");
    await put("a", OTHER, 2 * TTL_MS);
    expect(await store.removeAll(uuidOf(1))).to.equal(0);
    clock.advance(TTL_MS);
    expect(await store.removeAll(OTHER)).to.equal(1);
  });

  it("takes no more than an instance may have, and more as they expire", async () => {
    for (const name of ["a", "b", "c"]) await put(name, uuidOf(1), name === "b" ? 1 : TTL_MS);
    expect(reasonOf(await rejectionOf(put("d")))).to.equal("LIMITED");
    await put("c");
    clock.advance(1);
    await put("d");
  });

  it("takes no more than it may hold, and more as they expire", async () => {
    for (const name of ["a", "b", "c", "d"]) await put(name, name < "c" ? uuidOf(1) : OTHER);
    expect(reasonOf(await rejectionOf(put("e", uuidOf(3))))).to.equal("LIMITED");
    clock.advance(TTL_MS);
    await put("e", uuidOf(3));
    expect(store.size).to.equal(1);
  });

  it("does not grow where nobody comes back", async () => {
    for (let n = 0; n < 100; n += 1) {
      await put(`token ${n}`, uuidOf(n));
      clock.advance(TTL_MS / 2);
    }
    expect(store.size).to.be.at.most(3);
  });

  it("forgets everything when it stops", async () => {
    await put("a");
    store.stop();
    expect([await has("a"), await store.removeAll(uuidOf(1))]).to.deep.equal([false, 0]);
  });
});
