// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import type { InstanceRegistry } from "../../../src/instances/instance-registry.js";
import { reasonOf } from "../../../src/lib/service-error.js";
import { ConsoleAuthorizer } from "../../../src/tokens/console-authorizer.js";
import { ConsoleTokenStore, purgeExpiredTokens } from "../../../src/tokens/console-token-store.js";
import { hashToken } from "../../../src/tokens/token.js";
import { ACTOR, authorize, domainOf, registrationOf, registryOn, TestAgent, uuidOf } from "../../harness/inventory.js";
import { rejectionOf } from "../../harness/rejection.js";
import { dumpRows } from "../../harness/schema-dump.js";
import { TestDatabase } from "../../harness/test-database.js";

const VM = uuidOf(1);

describe("Console tokens", () => {
  let db: TestDatabase;
  let registry: InstanceRegistry;
  let store: ConsoleTokenStore;

  before(async () => {
    db = await TestDatabase.create();
    store = new ConsoleTokenStore(db.database);
  });

  beforeEach(async () => {
    await db.clear();
    registry = registryOn(db.database);
    await registry.register(registrationOf(VM, { host: "a" }));
  });

  after(async () => {
    await db.stop();
  });

  async function reasonOfAuthorize(host = "a"): Promise<string> {
    return reasonOf(await rejectionOf(authorize(db.database, VM, host)));
  }

  describe("authorize", () => {
    it("stores the hash, the endpoint and an expiry by Postgres' clock", async () => {
      const { token, expiresAt } = await authorize(db.database, VM, "a", { tlsPort: 5901, internalAccessPath: "/x" });
      expect(Buffer.from(token, "base64url")).to.have.length(32);
      const rows = await db.sql<{ expires: bigint; left: number }>(
        `select token_hash, console_type, host, port, tls_port, internal_access_path, instance_uuid, access_url_base,
           created_by, redeemed_at, expires, (expires - extract(epoch from now()))::float8 as left
         from console_auth_tokens`,
      );
      const [{ expires, left, ...row } = { expires: 0n, left: 0 }] = rows;
      expect(row).to.deep.equal({
        token_hash: hashToken(token),
        console_type: "spice-html5",
        host: "127.0.0.1",
        port: 5900,
        tls_port: 5901,
        internal_access_path: "/x",
        instance_uuid: VM,
        access_url_base: "http://127.0.0.1:6082/console",
        created_by: "alice",
        redeemed_at: null,
      });
      expect(left).to.be.within(590, 600);
      expect(expiresAt.getTime()).to.equal(Number(expires) * 1_000);
    });

    it("stores a display without a port as one without a port", async () => {
      await authorize(db.database, VM, "a", { port: undefined });
      expect(await db.sql("select port, tls_port from console_auth_tokens")).to.deep.equal([
        { port: null, tls_port: null },
      ]);
    });

    it("issues another token each time", async () => {
      const tokens = await Promise.all(Array.from({ length: 5 }, () => authorize(db.database, VM, "a")));
      expect(new Set(tokens.map(({ token }) => token)).size).to.equal(5);
    });

    it("writes who got it to the audit", async () => {
      await authorize(db.database, VM, "a");
      const audit = await db.sql(
        `select a.action, a.subject, a.project_id, a.request_id, a.client_address, a.host, a.instance_uuid, a.console_type
         from audit_events a join console_auth_tokens t on t.id = a.token_id`,
      );
      expect(audit).to.deep.equal([
        {
          action: "issued",
          subject: "alice",
          project_id: "p1",
          request_id: "req-1",
          client_address: "127.0.0.1",
          host: "a",
          instance_uuid: VM,
          console_type: "spice-html5",
        },
      ]);
    });

    it("says INSTANCE_NOT_FOUND for an unknown and for a deleted instance", async () => {
      await registry.delete(VM, ACTOR);
      expect(await reasonOfAuthorize()).to.equal("INSTANCE_NOT_FOUND");
      expect(reasonOf(await rejectionOf(authorize(db.database, uuidOf(2), "a")))).to.equal("INSTANCE_NOT_FOUND");
    });

    for (const taskState of ["deleting", "migrating"]) {
      it(`says INSTANCE_BUSY while the instance is ${taskState}`, async () => {
        await registry.update(VM, { taskState });
        expect(await reasonOfAuthorize()).to.equal("INSTANCE_BUSY");
      });
    }

    for (const taskState of ["", "soft-deleting", "resize_migrating", "rebooting"]) {
      it(`issues one while the task state is "${taskState}"`, async () => {
        await registry.update(VM, { taskState });
        await authorize(db.database, VM, "a");
      });
    }

    it("says INSTANCE_NOT_READY where there is no host, whatever the task state", async () => {
      await registry.update(VM, { host: "", taskState: "migrating" });
      expect(await reasonOfAuthorize()).to.equal("INSTANCE_NOT_READY");
    });

    it("says INSTANCE_NOT_READY when the instance is no longer on the host that was asked", async () => {
      expect(await reasonOfAuthorize("b")).to.equal("INSTANCE_NOT_READY");
    });

    it("says INSTANCE_NOT_FOUND when the instance belongs to another project by now, whoever asks with it", async () => {
      await registry.update(VM, { projectId: "theirs" });
      const asking = ["ours", "theirs", undefined].map((ownedBy) => authorize(db.database, VM, "a", { ownedBy }));
      const alone = authorize(db.database, VM, "a", { ownedBy: "ours" });
      const results = await Promise.allSettled([...asking, alone]);
      expect(results.map(({ status }) => status)).to.deep.equal(["rejected", "fulfilled", "fulfilled", "rejected"]);
      expect(reasonOf(await rejectionOf(alone))).to.equal("INSTANCE_NOT_FOUND");
      const authorizer = new ConsoleAuthorizer(db.database);
      const asked = ["ours", "theirs"].map((ownedBy) => authorizer.authorize({ ...requestFor(VM), ownedBy }));
      expect((await Promise.allSettled(asked)).map(({ status }) => status)).to.deep.equal(["rejected", "fulfilled"]);
    });

    it("leaves neither token nor audit row behind when it refuses", async () => {
      await reasonOfAuthorize("b");
      expect(await db.sql("select id from console_auth_tokens")).to.deep.equal([]);
      expect(await db.sql("select event_id from audit_events")).to.deep.equal([]);
    });

    it("makes another token when the first one exists already", async () => {
      const { token } = await authorize(db.database, VM, "a");
      const candidates = [token, "another"];
      const authorizer = new ConsoleAuthorizer(db.database, () => candidates.shift()!);
      expect((await authorizer.authorize(requestFor(VM))).token).to.equal("another");
    });

    it("gives up when every token exists already", async () => {
      const { token } = await authorize(db.database, VM, "a");
      const authorizer = new ConsoleAuthorizer(db.database, () => token);
      expect(reasonOf(await rejectionOf(authorizer.authorize(requestFor(VM))))).to.equal("INTERNAL");
    });

    it("waits for a deletion under way and then refuses", async () => {
      let pending: Promise<string> = Promise.resolve("");
      await db.database.transaction(async (querier) => {
        await querier.query({ text: "update instances set deleted_at = now() where instance_uuid = $1", values: [VM] });
        pending = reasonOfAuthorize();
        await waitsForLock();
      });
      expect(await pending).to.equal("INSTANCE_NOT_FOUND");
    });

    it("is waited for by a deletion, which then takes the new token along", async () => {
      let deletion: Promise<number> = Promise.resolve(-1);
      await db.database.transaction(async (querier) => {
        await new ConsoleAuthorizer(querier).authorize(requestFor(VM));
        deletion = registry.delete(VM, ACTOR);
        await waitsForLock();
      });
      expect(await deletion).to.equal(1);
      expect(await db.sql("select id from console_auth_tokens")).to.deep.equal([]);
    });

    it("is waited for by a move, which then takes the new token along", async () => {
      const b = await TestAgent.connect(registry, "b");
      let move: Promise<unknown> = Promise.resolve();
      await db.database.transaction(async (querier) => {
        await new ConsoleAuthorizer(querier).authorize(requestFor(VM));
        move = b.event("started", domainOf(VM));
        await waitsForLock();
      });
      expect(await move).to.equal("applied");
      expect(await db.sql("select id from console_auth_tokens")).to.deep.equal([]);
    });

    it("leaves no token whichever of many deletions and calls come first", async () => {
      const uuids = Array.from({ length: 40 }, (_, n) => uuidOf(100 + n));
      for (const uuid of uuids) await registry.register(registrationOf(uuid, { host: "a" }));
      const race = uuids.flatMap((uuid) => [authorize(db.database, uuid, "a"), registry.delete(uuid, ACTOR)]);
      const failed = (await Promise.allSettled(race)).filter(({ status }) => status === "rejected");
      for (const { reason } of failed as PromiseRejectedResult[])
        expect(reasonOf(reason)).to.equal("INSTANCE_NOT_FOUND");
      expect(await db.sql("select id from console_auth_tokens")).to.deep.equal([]);
    });

    it("issues many at once, each its own, also where requests share a statement", async () => {
      const authorizer = new ConsoleAuthorizer(db.database);
      const uuids = Array.from({ length: 40 }, (_, n) => uuidOf(200 + n));
      for (const uuid of uuids) await registry.register(registrationOf(uuid, { host: "a" }));
      const asked = [...uuids, uuidOf(999), ...uuids].map((uuid) => authorizer.authorize(requestFor(uuid)));
      const outcomes = await Promise.allSettled(asked);
      expect(outcomes.map(({ status }) => status).indexOf("rejected"), "only the unknown one fails").to.equal(40);
      expect(outcomes.filter(({ status }) => status === "fulfilled")).to.have.length(80);
      const stored = await db.sql<{ uuid: string; n: number }>(
        `select instance_uuid as uuid, count(*)::integer as n from console_auth_tokens where instance_uuid = any ($1)
         group by 1 order by 1`,
        [uuids],
      );
      expect(stored).to.deep.equal(uuids.map((uuid) => ({ uuid, n: 2 })));
    });

    it("holds up nobody else while one instance is being changed", async () => {
      const authorizer = new ConsoleAuthorizer(db.database);
      const other = uuidOf(300);
      await registry.register(registrationOf(other, { host: "a" }));
      const waiting: Promise<unknown>[] = [];
      await db.database.transaction(async (querier) => {
        await querier.query({ text: "update instances set deleted_at = now() where instance_uuid = $1", values: [VM] });
        for (let n = 0; n < 4; n += 1) waiting.push(rejectionOf(authorizer.authorize(requestFor(VM))));
        await waitsForLock();
        await Promise.all(Array.from({ length: 10 }, () => authorizer.authorize(requestFor(other))));
      });
      for (const error of await Promise.all(waiting)) expect(reasonOf(error)).to.equal("INSTANCE_NOT_FOUND");
    });

    it("leaves no token of a deleted instance where requests share a statement", async () => {
      const authorizer = new ConsoleAuthorizer(db.database);
      const uuids = Array.from({ length: 40 }, (_, n) => uuidOf(400 + n));
      for (const uuid of uuids) await registry.register(registrationOf(uuid, { host: "a" }));
      const race = uuids.flatMap((uuid) => [
        authorizer.authorize(requestFor(uuid)),
        registry.delete(uuid, ACTOR),
        authorizer.authorize(requestFor(uuid)),
      ]);
      await Promise.allSettled(race);
      const left = await db.sql("select id from console_auth_tokens where instance_uuid = any ($1)", [uuids]);
      expect(left).to.deep.equal([]);
    });

    /** Resolves when a statement of this database waits for a lock. */
    async function waitsForLock(): Promise<void> {
      const text = "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
      const start = performance.now();
      while ((await db.sql(text)).length === 0) {
        if (performance.now() - start > 1_500) throw new Error("nobody waits for a lock");
      }
    }
  });

  describe("lookup", () => {
    it("does not find what can only be looked at: another proxy would let its viewer type", async () => {
      const { token } = await authorize(db.database, VM, "a", { viewOnly: true });
      const error = await rejectionOf(store.lookup(hashToken(token), ACTOR));
      expect(error).to.have.property("reason", "TOKEN_NOT_FOUND");
      expect(await store.inspect(hashToken(token))).to.include({ state: "usable" });
    });

    it("says what a token stands for, notes who asked, and does not consume it", async () => {
      const { token } = await authorize(db.database, VM, "a", { port: undefined, tlsPort: 5901 });
      const target = {
        instanceUuid: VM,
        consoleType: "spice-html5",
        host: "127.0.0.1",
        port: undefined,
        tlsPort: 5901,
        internalAccessPath: undefined,
      };
      expect(await store.lookup(hashToken(token), ACTOR)).to.deep.equal(target);
      expect(await store.lookup(hashToken(token), { ...ACTOR, subject: "bob" })).to.deep.equal(target);
      const audit = await db.sql("select subject from audit_events where action = 'looked-up' order by event_id");
      expect(audit).to.deep.equal([{ subject: "alice" }, { subject: "bob" }]);
    });

    it("does not find a token that is unknown, redeemed or revoked", async () => {
      expect(reasonOf(await rejectionOf(store.lookup(hashToken("nonsense"), ACTOR)))).to.equal("TOKEN_NOT_FOUND");
      const redeemed = await authorize(db.database, VM, "a");
      await db.sql("update console_auth_tokens set redeemed_at = now()");
      expect(reasonOf(await rejectionOf(store.lookup(hashToken(redeemed.token), ACTOR)))).to.equal("TOKEN_NOT_FOUND");
      const revoked = await authorize(db.database, VM, "a");
      await store.revoke(VM, ACTOR);
      expect(reasonOf(await rejectionOf(store.lookup(hashToken(revoked.token), ACTOR)))).to.equal("TOKEN_NOT_FOUND");
    });

    it("does not find a token in the second in which it expires", async () => {
      const { token } = await authorize(db.database, VM, "a");
      await db.sql("update console_auth_tokens set expires = floor(extract(epoch from now()))::bigint");
      expect(reasonOf(await rejectionOf(store.lookup(hashToken(token), ACTOR)))).to.equal("TOKEN_NOT_FOUND");
      await db.sql("update console_auth_tokens set expires = floor(extract(epoch from now()))::bigint + 5");
      await store.lookup(hashToken(token), ACTOR);
    });
  });

  describe("revoke", () => {
    it("deletes the unredeemed tokens of that instance, says how many, and 0 the second time", async () => {
      await registry.register(registrationOf(uuidOf(2), { host: "a" }));
      for (const uuid of [VM, VM, VM, uuidOf(2)]) await authorize(db.database, uuid, "a");
      await db.sql(
        "update console_auth_tokens set redeemed_at = now() where id = (select min(id) from console_auth_tokens)",
      );
      expect(await store.revoke(VM, ACTOR)).to.equal(2);
      expect(await store.revoke(VM, ACTOR)).to.equal(0);
      expect(await db.sql("select id from console_auth_tokens")).to.have.length(2);
      const audit = await db.sql(
        "select reason, subject, token_count from audit_events where action = 'revoked' order by event_id",
      );
      expect(audit).to.deep.equal([
        { reason: "requested", subject: "alice", token_count: 2 },
        { reason: "requested", subject: "alice", token_count: 0 },
      ]);
    });
  });

  describe("that can be used again", () => {
    it("are found and revoked though they were used, and not once they have expired", async () => {
      const reusable = new ConsoleTokenStore(db.database, { reusable: true });
      const { token } = await authorize(db.database, VM, "a");
      await db.sql("update console_auth_tokens set redeemed_at = now()");
      expect((await reusable.lookup(hashToken(token), ACTOR)).instanceUuid).to.equal(VM);
      await db.sql("update console_auth_tokens set expires = 1");
      expect(reasonOf(await rejectionOf(reusable.lookup(hashToken(token), ACTOR)))).to.equal("TOKEN_NOT_FOUND");
      await db.sql("update console_auth_tokens set expires = 9e9");
      expect(await reusable.revoke(VM, ACTOR)).to.equal(1);
      expect(reasonOf(await rejectionOf(reusable.lookup(hashToken(token), ACTOR)))).to.equal("TOKEN_NOT_FOUND");
    });
  });

  it("are purged once they have expired, and only then", async () => {
    const kept = await authorize(db.database, VM, "a");
    await authorize(db.database, VM, "a");
    await db.sql(
      `update console_auth_tokens set expires = floor(extract(epoch from now()))::bigint
       where token_hash <> $1`,
      [hashToken(kept.token)],
    );
    expect(await purgeExpiredTokens(db.database)).to.equal(1);
    expect(await db.sql("select token_hash from console_auth_tokens")).to.deep.equal([
      { token_hash: hashToken(kept.token) },
    ]);
  });

  it("are in plain nowhere in the database", async () => {
    const { token } = await authorize(db.database, VM, "a");
    await store.lookup(hashToken(token), ACTOR);
    await registry.delete(VM, ACTOR);
    const { token: second } = await authorize(db.database, await another(), "a");
    const dump = await dumpRows(db.url);
    expect(dump).to.include(hashToken(second));
    expect(dump).to.not.include(token);
    expect(dump).to.not.include(second);
  });

  async function another(): Promise<string> {
    return (await registry.register(registrationOf(uuidOf(2), { host: "a" }))).uuid;
  }

  function requestFor(instanceUuid: string): Parameters<ConsoleAuthorizer["authorize"]>[0] {
    const endpoint = { consoleType: "spice-html5", host: "127.0.0.1", port: 5900, accessUrlBase: "http://x" };
    return { instanceUuid, agentHost: "a", ...endpoint, viewOnly: false, ttlSeconds: 600, actor: ACTOR };
  }
});
