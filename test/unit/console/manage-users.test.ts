// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { ROLES } from "../../../src/config/policy-table.js";
import type { UserTokenWish } from "../../../src/console/manage-users.js";
import { ManageUsers } from "../../../src/console/manage-users.js";
import type { UserTokenRequest, UserTokenTarget } from "../../../src/identity/user-token-store.js";
import { createUserToken } from "../../../src/identity/user-token.js";
import { DEFAULT_USER_TOKEN_TTL_S, MAX_USER_TOKEN_TTL_S } from "../../../src/lib/limits.js";
import { messageOf } from "../../../src/lib/message-of.js";
import { reasonOf } from "../../../src/lib/service-error.js";
import type { Role } from "../../../src/rpc/caller.js";
import type { RequestContext } from "../../../src/rpc/request-context.js";
import { FakeLog } from "../../fakes/fake-log.js";
import { rejectionOf } from "../../harness/rejection.js";

const WISH: UserTokenWish = { subject: "alice", projectId: "p", roles: ["member"], ttlSeconds: 0 };

function by(...roles: Role[]): RequestContext {
  const caller = { subject: "s", project: "", roles };
  return {
    caller,
    requestId: "r",
    clientAddress: "::1",
    signal: new AbortController().signal,
    remainingMs: () => Infinity,
  };
}

describe("ManageUsers", () => {
  let made: UserTokenRequest[];
  let revoked: UserTokenTarget[];
  let fake: FakeLog;
  let users: ManageUsers;
  const token = createUserToken();

  beforeEach(() => {
    made = [];
    revoked = [];
    fake = new FakeLog();
    users = new ManageUsers({
      tokens: {
        create: (request) => {
          made.push(request);
          const times = { createdAt: new Date(0), expiresAt: new Date(1) };
          return Promise.resolve({
            token,
            userToken: { ...request, ...times, tokenId: "0".repeat(16), createdBy: "s" },
          });
        },
        list: () => Promise.resolve({ items: [], nextPageToken: "" }),
        revoke: (target) => Promise.resolve(revoked.push(target)),
      },
      log: fake.log,
    });
  });

  it("makes what is asked for, for 30 days where no time is said", async () => {
    await users.createUserToken(WISH, by("admin"));
    await users.createUserToken({ ...WISH, ttlSeconds: 60, roles: ["reader", "member", "reader"] }, by("admin"));
    expect(made).to.deep.equal([
      { subject: "alice", projectId: "p", roles: ["member"], ttlSeconds: DEFAULT_USER_TOKEN_TTL_S },
      { subject: "alice", projectId: "p", roles: ["member", "reader"], ttlSeconds: 60 },
    ]);
  });

  it("leaves a line of what it made and revoked, without the token", async () => {
    await users.createUserToken(WISH, by("admin"));
    await users.revokeUserTokens({ subject: "alice" }, by("admin"));
    const audits = fake.at("info").map(({ audit, target }) => [audit, target]);
    expect(audits).to.deep.equal([
      ["user-token-created", "alice"],
      ["user-tokens-revoked", "alice"],
    ]);
    expect(JSON.stringify(fake.at("info"))).not.to.contain(token);
  });

  it("wants a project for the roles that see nothing else, and for no other", async () => {
    for (const role of ROLES) {
      const outcome = users.createUserToken({ ...WISH, projectId: "", roles: [role] }, by("admin")).then(
        () => "made",
        (error: unknown) => messageOf(error),
      );
      if (role === "member" || role === "reader")
        expect(await outcome).to.match(/^project_id must be given for the role/);
      else expect(await outcome, role).to.equal("made");
    }
  });

  it("refuses what no token can be", async () => {
    const bad: Partial<UserTokenWish>[] = [
      { subject: "" },
      { subject: "a\nb" },
      { subject: "x".repeat(256) },
      { projectId: "x".repeat(256) },
      { roles: [] },
      { roles: ["root"] },
      { roles: ["member", "root"] },
      { ttlSeconds: 59 },
      { ttlSeconds: MAX_USER_TOKEN_TTL_S + 1 },
    ];
    for (const part of bad) {
      const error = await rejectionOf(users.createUserToken({ ...WISH, ...part }, by("admin")));
      expect(reasonOf(error), JSON.stringify(part)).to.equal("INVALID_ARGUMENT");
    }
    for (const target of [{ tokenId: "" }, { tokenId: "0".repeat(15) }, { tokenId: token }, { subject: "" }]) {
      const error = await rejectionOf(users.revokeUserTokens(target, by("admin")));
      expect(reasonOf(error)).to.equal("INVALID_ARGUMENT");
      expect(error.message).not.to.contain(token);
    }
    expect([made, revoked]).to.deep.equal([[], []]);
  });

  it("makes no token for who is no administrator, whatever the policy says", async () => {
    const error = await rejectionOf(users.createUserToken(WISH, by("member", "service")));
    expect(reasonOf(error)).to.equal("PERMISSION_DENIED");
    expect(made).to.deep.equal([]);
  });

  it("tells everybody who they are", () => {
    const context = by("reader");
    expect(users.getCaller(context)).to.equal(context.caller);
  });
});
