// SPDX-License-Identifier: Apache-2.0
// Two controllers over one database, as far as they know callers; one of them can be cut off from what is said.
import { expect } from "chai";
import { waitUntil } from "../../../demo/wait-until.js";
import { Notifications } from "../../../src/db/notifications.js";
import { USER_TOKENS_CHANNEL, UserTokenStore } from "../../../src/identity/user-token-store.js";
import type { GoodUserToken } from "../../../src/identity/user-token-store.js";
import { UserTokens } from "../../../src/identity/user-tokens.js";
import { silentLog } from "../../../src/lib/log.js";
import { reasonOf } from "../../../src/lib/service-error.js";
import { Relay } from "../../harness/relay.js";
import { TestDatabase } from "../../harness/test-database.js";
import { until } from "../../harness/within.js";

const ACTOR = { subject: "root", projectId: "", requestId: "", clientAddress: "" };
const CHANNELS = [USER_TOKENS_CHANNEL];
const EFFECTIVE_MS = 2_000;

describe("UserTokens over one database", function () {
  this.timeout(20_000);

  let db: TestDatabase;
  let store: UserTokenStore;
  let relay: Relay;
  let controllers: { readonly notifications: Notifications; readonly tokens: UserTokens }[];
  let reads: number;

  before(async () => {
    db = await TestDatabase.create();
    store = new UserTokenStore(db.database);
  });
  after(() => db.stop());

  beforeEach(async () => {
    relay = new Relay(db.url);
    reads = 0;
    const counting = {
      find: (hashes: readonly string[]): Promise<ReadonlyMap<string, GoodUserToken>> => {
        reads += 1;
        return store.find(hashes);
      },
    };
    controllers = [db.url, await relay.start()].map((url) => {
      const notifications = new Notifications({ url, channels: CHANNELS, log: silentLog });
      return { notifications, tokens: new UserTokens({ store: counting, notifications }) };
    });
    for (const { notifications, tokens } of controllers) {
      notifications.start();
      tokens.start();
    }
    await until("both to hear", () => controllers.every(({ notifications }) => notifications.hearing !== undefined));
  });

  afterEach(async () => {
    relay.silent = false;
    for (const { notifications, tokens } of controllers) {
      tokens.stop();
      await notifications.stop();
    }
    relay.stop();
  });

  /** Whether each controller takes the token. */
  const taken = (token: string): Promise<boolean[]> =>
    Promise.all(
      controllers.map(async ({ tokens }) => {
        try {
          return (await tokens.identify({ token, address: "" })).subject === "alice";
        } catch (error) {
          if (reasonOf(error) !== "UNAUTHENTICATED") throw error;
          return false;
        }
      }),
    );

  async function make(ttlSeconds = 3_600): Promise<{ token: string; tokenId: string }> {
    const wish = { subject: "alice", projectId: "p", roles: ["member"] as const, ttlSeconds };
    const { token, userToken } = await store.create(wish, ACTOR);
    expect(await taken(token)).to.deep.equal([true, true]);
    return { token, tokenId: userToken.tokenId };
  }

  async function goesEverywhere(token: string): Promise<void> {
    const since = performance.now();
    const gone = async (): Promise<boolean> => !(await taken(token)).includes(true);
    await waitUntil(gone, { ms: 10_000, what: "the token to be refused everywhere" });
    expect(performance.now() - since).to.be.lessThan(EFFECTIVE_MS);
  }

  it("read a token once, and from then on ask for nothing while all is well", async () => {
    const { token } = await make();
    const before = reads;
    const probed = controllers.map(({ notifications }) => notifications.hearing?.until ?? 0);
    // Longer than what is not heard of would be believed.
    const isLater = (): boolean =>
      controllers.every(({ notifications }, at) => (notifications.hearing?.until ?? 0) > (probed[at] ?? 0) + 1_500);
    await waitUntil(
      async () => {
        await taken(token);
        return isLater();
      },
      { ms: 10_000, what: "some signs of life" },
    );
    expect(reads).to.equal(before);
  });

  it("refuse a revoked token at once where the revocation is heard", async () => {
    const { token, tokenId } = await make();
    expect(await store.revoke({ tokenId }, ACTOR)).to.equal(1);
    await goesEverywhere(token);
  });

  it("refuse it within two seconds where the connection for hearing has been cut", async () => {
    const { token, tokenId } = await make();
    relay.stop();
    await store.revoke({ tokenId }, ACTOR);
    await goesEverywhere(token);
  });

  it("refuse it within two seconds where that connection stands and nothing comes through", async () => {
    const { token, tokenId } = await make();
    relay.silent = true;
    await store.revoke({ tokenId }, ACTOR);
    expect(controllers[1]?.notifications.hearing).not.to.equal(undefined);
    await goesEverywhere(token);
  });

  it("refuse a token from its expiry on, by the database's clock", async () => {
    const { token } = await make(1);
    await goesEverywhere(token);
  });

  it("spend few statements on ten thousand tokens that never were, and know the good one throughout", async () => {
    const { token } = await make();
    const before = reads;
    for (let round = 0; round < 10; round += 1) {
      const garbage = Array.from({ length: 1_000 }, (_, at) => `sgu_${String(round * 1_000 + at).padStart(43, "x")}`);
      const answers = await Promise.all(garbage.map(taken));
      expect(answers.flat()).not.to.include(true);
      expect(await taken(token)).to.deep.equal([true, true]);
    }
    expect(reads - before).to.be.lessThan(1_000);
  });
});
