// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import type { Hearing } from "../../../src/db/notifications.js";
import type { GoodUserToken } from "../../../src/identity/user-token-store.js";
import { createUserToken, hashUserToken, userTokenId } from "../../../src/identity/user-token.js";
import { UserTokens } from "../../../src/identity/user-tokens.js";
import {
  MAX_BATCH,
  MAX_KNOWN_USER_TOKENS,
  USER_TOKEN_KNOWN_MS,
  USER_TOKEN_REFUSED_MS,
  USER_TOKEN_UNHEARD_MS,
} from "../../../src/lib/limits.js";
import { ServiceError } from "../../../src/lib/service-error.js";
import type { Caller } from "../../../src/rpc/caller.js";
import { NOBODY } from "../../../src/rpc/caller.js";
import { FakeClock } from "../../fakes/fake-clock.js";
import { Gate } from "../../harness/gate.js";
import { rejectionOf } from "../../harness/rejection.js";

const EXPIRES = new Date("2030-01-01T00:00:00Z");

describe("UserTokens", () => {
  let clock: FakeClock;
  let hearing: { since: number; until: number } | undefined;
  let revoked: () => void;
  let good: Map<string, GoodUserToken>;
  /** The hashes of each statement. */
  let statements: (readonly string[])[];
  let beforeAnswer: () => Promise<void>;
  let tokens: UserTokens;

  beforeEach(() => {
    clock = new FakeClock();
    hearing = { since: 0, until: 0 };
    good = new Map();
    statements = [];
    beforeAnswer = () => Promise.resolve();
    const store = {
      find: async (hashes: readonly string[]): Promise<ReadonlyMap<string, GoodUserToken>> => {
        statements.push(hashes);
        const found = new Map(good);
        await beforeAnswer();
        return found;
      },
    };
    const notifications = {
      get hearing(): Hearing | undefined {
        return hearing;
      },
      on: (_channel: string, listener: (payload: string) => void) => {
        revoked = () => listener("");
        return () => undefined;
      },
    };
    tokens = new UserTokens({ store, notifications, clock });
    tokens.start();
  });

  afterEach(() => tokens.stop());

  function make(subject = "alice", remainingMs = 3_600_000): string {
    const token = createUserToken();
    const hash = hashUserToken(token);
    const userToken = {
      tokenId: userTokenId(hash),
      subject,
      projectId: "p",
      roles: ["member" as const],
      createdBy: "admin",
      createdAt: new Date(0),
      expiresAt: EXPIRES,
    };
    good.set(hash, { userToken, remainingMs });
    return token;
  }

  const identify = async (token: string | undefined): Promise<Caller> => tokens.identify({ token, address: "" });
  const fails = (token: string): Promise<Error> => rejectionOf(identify(token));
  /** Time passes in which everything is heard. */
  function pass(ms: number): void {
    clock.advance(ms);
    if (hearing) hearing.until = clock.now();
  }

  it("knows the caller of a good token, with its project, roles and expiry", async () => {
    expect(await identify(make())).to.deep.equal({
      subject: "alice",
      project: "p",
      roles: ["member"],
      expiresAt: EXPIRES,
    });
  });

  it("leaves to others who shows nothing, or what is none of ours, and reads nothing for it", async () => {
    for (const token of [undefined, "", "demo", "gAAAAABl", `sgu_${"x".repeat(42)}`, `SGU_${"x".repeat(43)}`]) {
      expect(await identify(token)).to.equal(NOBODY);
    }
    expect(statements).to.deep.equal([]);
  });

  it("refuses a token of ours that is no good, so that nobody else is asked", async () => {
    expect(await fails(createUserToken())).to.have.property("reason", "UNAUTHENTICATED");
  });

  it("answers for a token that it knows at once, without a promise", async () => {
    const token = make();
    const caller = await identify(token);
    expect(tokens.identify({ token, address: "" })).to.equal(caller);
    expect(statements).to.have.length(1);
  });

  it("reads a good token again after its time, though everything is heard", async () => {
    const token = make();
    await identify(token);
    pass(USER_TOKEN_KNOWN_MS - 1);
    await identify(token);
    expect(statements).to.have.length(1);
    pass(1);
    await identify(token);
    expect(statements).to.have.length(2);
  });

  it("does not believe what it knows beyond the token's expiry", async () => {
    const token = make("alice", 5_000);
    await identify(token);
    pass(4_999);
    await identify(token);
    good.clear();
    pass(1);
    expect(await fails(token)).to.have.property("reason", "UNAUTHENTICATED");
  });

  it("reads everything again when it hears of a revocation", async () => {
    const token = make();
    await identify(token);
    good.clear();
    revoked();
    expect(await fails(token)).to.have.property("reason", "UNAUTHENTICATED");
  });

  it("does not keep what it was reading when it heard of a revocation", async () => {
    const token = make();
    const gate = new Gate();
    beforeAnswer = () => gate.passed;
    const early = identify(token);
    good.clear();
    revoked();
    gate.open();
    await early;
    expect(await fails(token)).to.have.property("reason", "UNAUTHENTICATED");
  });

  for (const [what, lose] of [
    ["nothing can be heard", (): void => void (hearing = undefined)],
    ["nothing was heard for a while", (): void => undefined],
    ["hearing has begun anew", (): void => void (hearing = { since: 1, until: 1e9 })],
  ] as const) {
    it(`believes what it read for a second only, where ${what}`, async () => {
      const token = make();
      await identify(token);
      lose();
      clock.advance(USER_TOKEN_UNHEARD_MS - 1);
      await identify(token);
      expect(statements).to.have.length(1);
      good.clear();
      clock.advance(1);
      expect(await fails(token)).to.have.property("reason", "UNAUTHENTICATED");
    });
  }

  it("remembers for a while that a token is no good", async () => {
    const token = createUserToken();
    await fails(token);
    await fails(token);
    expect(statements).to.have.length(1);
    clock.advance(USER_TOKEN_REFUSED_MS);
    await fails(token);
    expect(statements).to.have.length(2);
  });

  it("shares one read among calls with the same token", async () => {
    const token = make();
    const callers = await Promise.all([identify(token), identify(token), identify(token)]);
    expect(new Set(callers).size).to.equal(1);
    expect(statements.flat()).to.have.length(1);
  });

  it("asks again where the database could not say", async () => {
    const token = make();
    beforeAnswer = () => Promise.reject(new ServiceError("DATABASE_UNAVAILABLE", "away"));
    expect(await fails(token)).to.have.property("reason", "DATABASE_UNAVAILABLE");
    beforeAnswer = () => Promise.resolve();
    expect((await identify(token)).subject).to.equal("alice");
  });

  it("keeps a good token through a flood of others, which share statements", async () => {
    const token = make();
    await identify(token);
    const flood = Array.from({ length: 10_000 }, createUserToken);
    for (let at = 0; at < flood.length; at += 1_000) await Promise.all(flood.slice(at, at + 1_000).map(fails));
    expect(tokens.identify({ token, address: "" })).to.have.property("subject", "alice");
    expect(statements.length).to.be.lessThan((2 * flood.length) / MAX_BATCH);
    const before = statements.length;
    await Promise.all(flood.slice(-1_000).map(fails));
    expect(statements).to.have.length(before);
  });

  it("forgets the oldest of too many good tokens", async () => {
    const made = Array.from({ length: MAX_KNOWN_USER_TOKENS + 1 }, () => make());
    for (let at = 0; at < made.length; at += 1_000) await Promise.all(made.slice(at, at + 1_000).map(identify));
    expect(tokens.identify({ token: made[1], address: "" })).to.have.property("subject", "alice");
    expect(tokens.identify({ token: made[0], address: "" })).to.be.instanceOf(Promise);
  });
});
