// SPDX-License-Identifier: Apache-2.0
// Against real memcached servers.
import { expect } from "chai";
import { MemcachedStore } from "../../../src/consoleauth/memcached-store.js";
import { MEMCACHED_MS } from "../../../src/lib/limits.js";
import { reasonOf } from "../../../src/lib/service-error.js";
import { waitUntil } from "../../../demo/wait-until.js";
import { uuidOf } from "../../harness/inventory.js";
import { hashNamed, legacyConsole } from "../../harness/legacy-consoles.js";
import { Memcached } from "../../harness/memcached.js";
import { freeze } from "../../harness/process-facts.js";
import { rejectionOf } from "../../harness/rejection.js";

const TTL_MS = 60_000;
const VM = uuidOf(1);
const OTHER = uuidOf(2);

describe("MemcachedStore", function () {
  this.timeout(30_000);
  let servers: readonly Memcached[];
  const stores: MemcachedStore[] = [];
  let store: MemcachedStore;

  beforeEach(async () => {
    servers = await Promise.all([Memcached.create(), Memcached.create()]);
    await Promise.all(servers.map((server) => server.start()));
    store = create();
  });

  afterEach(async () => {
    for (const each of stores.splice(0)) each.stop();
    await Promise.all(servers.map((server) => server.stop()));
  });

  function create(perInstance?: number): MemcachedStore {
    const options = { servers: servers.map(({ address }) => address), ttlSeconds: 600 };
    stores.push(new MemcachedStore(perInstance === undefined ? options : { ...options, perInstance }));
    return stores.at(-1) ?? store;
  }

  const put = (name: string, instanceUuid = VM, ttlMs = TTL_MS): Promise<void> =>
    store.put(hashNamed(name), legacyConsole({ instanceUuid }), ttlMs);
  const names = Array.from({ length: 20 }, (_, n) => `token ${n}`);
  const listOf = async (instanceUuid: string): Promise<string | undefined> => {
    const dumps = await Promise.all(servers.map((server) => server.dump()));
    const key = `spicegate-consoleauth:instance:${instanceUuid}`;
    return dumps.map((dump) => dump.get(key)).find((list) => list !== undefined);
  };

  it("gives back what it keeps, to every program that shares the servers", async () => {
    const console = legacyConsole({ tlsPort: 5901, internalAccessPath: "/x", createdBy: "Zoë" });
    await store.put(hashNamed("a"), console, TTL_MS);
    expect(await create().find(hashNamed("a"))).to.deep.equal(console);
    expect(await store.find(hashNamed("b"))).to.equal(undefined);
  });

  it("spreads the keys over its servers", async () => {
    for (const name of names) await put(name);
    for (const server of servers) expect((await server.dump()).size).to.be.greaterThan(1);
  });

  it("forgets a token when it expires", async () => {
    await put("a", VM, 1_000);
    const gone = async (): Promise<boolean> => (await store.find(hashNamed("a"))) === undefined;
    expect(await gone()).to.equal(false);
    await waitUntil(gone, { ms: 5_000, what: "the token to expire" });
  });

  it("gives one of twenty who take a token at the same instant the console", async () => {
    await put("a");
    const others = Array.from({ length: 5 }, () => create());
    const takers = names.map((_, n) => others[n % others.length] ?? store);
    const taken = await Promise.all(takers.map((each) => each.take(hashNamed("a"))));
    expect(taken.filter(Boolean)).to.have.length(1);
    expect(await store.find(hashNamed("a"))).to.equal(undefined);
  });

  it("loses no token from an instance's list when many programs write at the same time", async () => {
    const writers = Array.from({ length: 4 }, () => create());
    const writing = names.map((name, n) => (writers[n % 4] ?? store).put(hashNamed(name), legacyConsole(), TTL_MS));
    await Promise.all(writing);
    await put("other", OTHER);
    expect(await store.removeAll(VM)).to.equal(names.length);
    expect(await store.removeAll(VM)).to.equal(0);
    const found = await Promise.all(names.map((name) => store.find(hashNamed(name))));
    expect(found.filter(Boolean)).to.deep.equal([]);
    expect(await store.find(hashNamed("other"))).not.to.equal(undefined);
    expect(await listOf(VM)).to.equal(undefined);
  });

  it("removes what is listed while it removes", async () => {
    await put("a");
    const [, counted] = await Promise.all([put("b"), store.removeAll(VM)]);
    const left = [await store.find(hashNamed("a")), await store.find(hashNamed("b"))].filter(Boolean);
    expect(counted + left.length).to.be.within(1, 2);
    expect(await store.removeAll(VM)).to.equal(left.length);
  });

  it("drops expired tokens from the list with the next one, and lists none twice", async () => {
    await put("old", VM, -61_000);
    await put("a");
    await put("a");
    const list = await listOf(VM);
    expect(list).to.match(new RegExp(`^${hashNamed("a")}:[0-9]+$`));
  });

  it("takes no more than an instance may have", async () => {
    const small = create(2);
    const console = legacyConsole();
    for (const name of ["a", "b", "a"]) await small.put(hashNamed(name), console, TTL_MS);
    expect(reasonOf(await rejectionOf(small.put(hashNamed("c"), console, TTL_MS)))).to.equal("LIMITED");
    expect(await small.find(hashNamed("c")), "not even the token itself").to.equal(undefined);
    await small.removeAll(VM);
    await small.put(hashNamed("c"), console, TTL_MS);
  });

  it("is LEGACY_STORE_UNAVAILABLE while a server is killed, and well when it is back, with nothing in it", async () => {
    await put("a");
    for (const { program } of servers) {
      program.kill("SIGKILL");
      await program.ended;
    }
    for (const call of [store.find(hashNamed("a")), store.take(hashNamed("a")), store.removeAll(VM), put("b")]) {
      expect(reasonOf(await rejectionOf(call))).to.equal("LEGACY_STORE_UNAVAILABLE");
    }
    await Promise.all(servers.map((server) => server.start()));
    expect(await store.find(hashNamed("a"))).to.equal(undefined);
    await put("b");
    expect(await store.removeAll(VM)).to.equal(1);
  });

  it("waits no longer than its deadline for servers that are frozen, and goes on when they do", async () => {
    await put("a");
    for (const { program } of servers) await freeze(program.pid);
    const startedAt = performance.now();
    const calls = [store.find(hashNamed("a")), store.take(hashNamed("b")), store.removeAll(VM), put("c")];
    const reasons = await Promise.all(calls.map(async (call) => reasonOf(await rejectionOf(call))));
    expect(new Set(reasons)).to.deep.equal(new Set(["LEGACY_STORE_UNAVAILABLE"]));
    expect(performance.now() - startedAt).to.be.below(MEMCACHED_MS + 1_000);
    for (const { program } of servers) program.kill("SIGCONT");
    expect(await store.find(hashNamed("a"))).not.to.equal(undefined);
  });

  it("answers nothing any more once it is stopped", async () => {
    store.stop();
    store.stop();
    expect(reasonOf(await rejectionOf(store.find(hashNamed("a"))))).to.equal("LEGACY_STORE_UNAVAILABLE");
  });
});
