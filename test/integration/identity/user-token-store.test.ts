// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { purgeExpiredUserTokens, UserTokenStore } from "../../../src/identity/user-token-store.js";
import type { UserTokenRequest } from "../../../src/identity/user-token-store.js";
import { hashUserToken, userTokenId } from "../../../src/identity/user-token.js";
import { reasonOf } from "../../../src/lib/service-error.js";
import { dumpDatabase } from "../../harness/database-dump.js";
import { rejectionOf } from "../../harness/rejection.js";
import { TestDatabase } from "../../harness/test-database.js";

const ACTOR = { subject: "root", projectId: "", requestId: "r1", clientAddress: "::1" };

describe("UserTokenStore", () => {
  let db: TestDatabase;
  let store: UserTokenStore;

  before(async () => {
    db = await TestDatabase.create();
    store = new UserTokenStore(db.database);
  });
  after(() => db.stop());
  beforeEach(() => db.sql("truncate user_tokens, audit_events"));

  const wish = (wanted: Partial<UserTokenRequest> = {}): UserTokenRequest => {
    return { subject: "alice", projectId: "p", roles: ["member"], ttlSeconds: 3_600, ...wanted };
  };
  const expire = (): Promise<unknown> =>
    db.sql("update user_tokens set created_at = now() - interval '2 h', expires_at = now() where subject = 'late'");
  const isGood = async (token: string): Promise<boolean> => (await store.find([hashUserToken(token)])).size === 1;

  it("makes another token each time, bound to what was asked for, and keeps its hash alone", async () => {
    const { token, userToken } = await store.create(wish(), ACTOR);
    expect((await store.create(wish(), ACTOR)).token).not.to.equal(token);
    const hash = hashUserToken(token);
    expect(userToken).to.deep.include({
      tokenId: userTokenId(hash),
      subject: "alice",
      projectId: "p",
      createdBy: "root",
    });
    expect(Number(userToken.expiresAt) - Number(userToken.createdAt)).to.equal(3_600_000);
    const found = (await store.find([hash, hashUserToken("other")])).get(hash);
    expect(found?.userToken).to.deep.equal(userToken);
    expect(found?.remainingMs).to.be.within(3_590_000, 3_600_000);
    expect(await dumpDatabase(db.url)).not.to.contain(token.slice(4));
  });

  it("does not find an expired token, nor a revoked one", async () => {
    const { token } = await store.create(wish({ subject: "late" }), ACTOR);
    const { token: other, userToken } = await store.create(wish(), ACTOR);
    expect([await isGood(token), await isGood(other)]).to.deep.equal([true, true]);
    await expire();
    await store.revoke({ tokenId: userToken.tokenId }, ACTOR);
    expect([await isGood(token), await isGood(other)]).to.deep.equal([false, false]);
  });

  it("revokes one token, or all of a subject that are good, once", async () => {
    const { userToken } = await store.create(wish(), ACTOR);
    const { token: others } = await store.create(wish({ subject: "bob" }), ACTOR);
    for (let made = 0; made < 3; made += 1) await store.create(wish(), ACTOR);
    expect(await store.revoke({ tokenId: userToken.tokenId }, ACTOR)).to.equal(1);
    expect(await store.revoke({ tokenId: userToken.tokenId }, ACTOR)).to.equal(0);
    expect(await store.revoke({ subject: "alice" }, ACTOR)).to.equal(3);
    expect(await store.revoke({ subject: "alice" }, ACTOR)).to.equal(0);
    expect(await isGood(others)).to.equal(true);
  });

  it("writes into the audit who made and who revoked whose", async () => {
    await store.create(wish(), ACTOR);
    await store.create(wish(), ACTOR);
    await store.revoke({ subject: "alice" }, { ...ACTOR, subject: "boss" });
    await store.revoke({ subject: "alice" }, ACTOR);
    const rows = await db.sql(`select action, subject, target_subject as target, token_count as count, request_id as id
      from audit_events order by event_id`);
    const made = { action: "user-token-created", subject: "root", target: "alice", count: 1, id: "r1" };
    const revoked = { action: "user-tokens-revoked", subject: "boss", target: "alice", count: 2, id: "r1" };
    expect(rows).to.deep.equal([made, made, revoked]);
  });

  it("lists what is good in pages, newest first, also what was made in the same microsecond", async () => {
    for (const subject of ["late", "a", "b", "a", "a", "b"]) await store.create(wish({ subject }), ACTOR);
    await expire();
    await db.sql("update user_tokens set created_at = '2026-01-01T00:00:00.123456Z' where subject = 'a'");
    const whole = (await store.list({}, { size: 0, token: "" })).items;
    expect(whole.map(({ subject }) => subject)).to.deep.equal(["b", "b", "a", "a", "a"]);
    const ids: string[] = [];
    let token = "";
    do {
      const page = await store.list({}, { size: 2, token });
      ids.push(...page.items.map(({ tokenId }) => tokenId));
      token = page.nextPageToken;
    } while (token !== "");
    expect(ids).to.deep.equal(whole.map(({ tokenId }) => tokenId));
    expect((await store.list({ subject: "b" }, { size: 0, token: "" })).items).to.have.length(2);
  });

  it("refuses a page token of another list", async () => {
    for (const subject of ["a", "a"]) await store.create(wish({ subject }), ACTOR);
    const { nextPageToken } = await store.list({}, { size: 1, token: "" });
    for (const token of [nextPageToken.slice(0, 8), `${nextPageToken}AAAA`]) {
      expect(reasonOf(await rejectionOf(store.list({}, { size: 1, token })))).to.equal("INVALID_ARGUMENT");
    }
    const other = store.list({ subject: "a" }, { size: 1, token: nextPageToken });
    expect(reasonOf(await rejectionOf(other))).to.equal("INVALID_ARGUMENT");
  });

  it("forgets a token when it has expired, revoked or not", async () => {
    await store.create(wish({ subject: "late" }), ACTOR);
    await store.create(wish(), ACTOR);
    await store.revoke({ subject: "alice" }, ACTOR);
    await expire();
    expect(await purgeExpiredUserTokens(db.database)).to.equal(1);
    expect(await db.sql("select from user_tokens")).to.have.length(1);
  });

  describe("the first token", () => {
    const first = wish({ subject: "admin", projectId: "", roles: ["admin"] });

    it("is made once of 32 that are asked for at the same time", async () => {
      const made = await Promise.all(Array.from({ length: 32 }, () => store.createFirst(first)));
      expect(made.filter((issued) => issued !== undefined)).to.have.length(1);
      const rows = await db.sql("select subject, target_subject as target from audit_events");
      expect(rows).to.deep.equal([{ subject: "spicegate", target: "admin" }]);
    });

    it("is not made while anybody has one, also one that is being made", async () => {
      const [one, other] = await Promise.all([store.create(wish(), ACTOR), store.createFirst(first)]);
      expect(await store.createFirst(first)).to.equal(undefined);
      expect(one).not.to.equal(other);
    });

    it("can be made again when none is good any more", async () => {
      await store.createFirst(first);
      await store.revoke({ subject: "admin" }, ACTOR);
      expect(await store.createFirst(first)).not.to.equal(undefined);
    });
  });
});
