// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { waitUntil } from "../../../demo/wait-until.js";
import type { Adoption } from "../../../src/consoleauth/adopted-tokens.js";
import { AdoptedTokens } from "../../../src/consoleauth/adopted-tokens.js";
import type { AuthorizedConsole } from "../../../src/consoleauth/console-auth.js";
import type { InstanceRegistry } from "../../../src/instances/instance-registry.js";
import { ConsoleAuthorizer } from "../../../src/tokens/console-authorizer.js";
import { ConsoleTokenStore, purgeExpiredTokens } from "../../../src/tokens/console-token-store.js";
import { hashToken } from "../../../src/tokens/token.js";
import { ACTOR, authorize, registrationOf, registryOn, uuidOf } from "../../harness/inventory.js";
import { hashNamed, legacyConsole } from "../../harness/legacy-consoles.js";
import { countWaiting, TestDatabase, whileLocked } from "../../harness/test-database.js";

const VM = uuidOf(1);
const HASH = hashNamed("a");
const TTL = 600;

describe("AdoptedTokens", () => {
  let db: TestDatabase;
  let registry: InstanceRegistry;
  let adopted: AdoptedTokens;

  before(async () => {
    db = await TestDatabase.create();
    adopted = new AdoptedTokens(db.database, TTL);
  });

  beforeEach(async () => {
    await db.clear();
    registry = registryOn(db.database);
    await registry.register(registrationOf(VM, { host: "a" }));
  });

  after(() => db.stop());

  /** The console of a token that Postgres' clock lets live for so many seconds more. */
  async function lasting(seconds: number, more: Partial<AuthorizedConsole> = {}): Promise<AuthorizedConsole> {
    const [row] = await db.sql<{ now: number }>("select floor(extract(epoch from now()))::float8 as now");
    return legacyConsole({ expiresAt: new Date(((row?.now ?? 0) + seconds) * 1_000), ...more });
  }

  const adopt = async (more: Partial<AuthorizedConsole> = {}): Promise<Adoption> =>
    adopted.adopt(HASH, await lasting(TTL, more));
  const actions = async (): Promise<readonly string[]> =>
    (await db.sql<{ action: string }>("select action from audit_events order by event_id")).map(({ action }) => action);

  it("makes a row of what the legacy store says, with its audit row", async () => {
    const console = await lasting(60, { tlsPort: 5901, internalAccessPath: "/x" });
    expect(await adopted.adopt(HASH, console)).to.equal("adopted");
    const [row] = await db.sql(
      `select token_hash, console_type, host, port, tls_port, internal_access_path, instance_uuid, access_url_base,
         created_by, redeemed_at, expires from console_auth_tokens`,
    );
    expect(row).to.deep.equal({
      token_hash: HASH,
      console_type: "spice-html5",
      host: "127.0.0.1",
      port: 5900,
      tls_port: 5901,
      internal_access_path: "/x",
      instance_uuid: VM,
      access_url_base: console.accessUrlBase,
      created_by: "bob",
      redeemed_at: null,
      expires: BigInt(console.expiresAt.getTime() / 1_000),
    });
    const audit = await db.sql(
      `select a.action, a.subject, a.instance_uuid, a.console_type from audit_events a
       join console_auth_tokens t on t.id = a.token_id`,
    );
    expect(audit).to.deep.equal([
      { action: "adopted", subject: "spicegate", instance_uuid: VM, console_type: "spice-html5" },
    ]);
  });

  it("names consoleauth where nobody knows who asked", async () => {
    await adopt({ createdBy: "" });
    expect(await db.sql("select created_by from console_auth_tokens")).to.deep.equal([{ created_by: "consoleauth" }]);
  });

  it("leaves a row that is there as it is, used or not", async () => {
    expect(await adopt()).to.equal("adopted");
    await db.sql("update console_auth_tokens set redeemed_at = now()");
    expect(await adopt({ createdBy: "eve", port: 1 })).to.equal("known");
    expect(
      await db.sql("select port, redeemed_at is null as unused, created_by from console_auth_tokens"),
    ).to.deep.equal([{ port: 5900, unused: false, created_by: "bob" }]);
    expect(await actions()).to.deep.equal(["adopted"]);
  });

  it("adopts once when many ask at the same time", async () => {
    const console = await lasting(TTL);
    const outcomes = await Promise.all(Array.from({ length: 5 }, () => adopted.adopt(HASH, console)));
    expect(outcomes.filter((outcome) => outcome === "adopted")).to.have.length(1);
    expect(await actions()).to.deep.equal(["adopted"]);
  });

  it("refuses what belongs to no instance, or to a deleted one", async () => {
    expect(await adopt({ instanceUuid: uuidOf(2) })).to.equal("refused");
    await registry.delete(VM, ACTOR);
    expect(await adopt()).to.equal("refused");
    expect(await db.sql("select id from console_auth_tokens")).to.deep.equal([]);
  });

  it("waits for a delete that is under way, and refuses then", async () => {
    const bury = "update instances set deleted_at = now() where instance_uuid = $1";
    await whileLocked(db.url, [bury, [VM]], async (unlock) => {
      const adopting = adopt();
      const waits = async (): Promise<boolean> => (await countWaiting(db.url)) === 1;
      await waitUntil(waits, { ms: 5_000, what: "the statement to wait" });
      await unlock();
      expect(await adopting).to.equal("refused");
    });
  });

  it("refuses what Postgres' clock says has expired, in the very second too", async () => {
    expect(await adopted.adopt(HASH, await lasting(0))).to.equal("refused");
    expect(await adopted.adopt(HASH, await lasting(-1))).to.equal("refused");
    expect(await adopted.adopt(HASH, await lasting(2))).to.equal("adopted");
  });

  it("does not bring a used token back that was purged", async () => {
    const console = await lasting(TTL);
    await adopted.adopt(HASH, console);
    await db.sql("update console_auth_tokens set redeemed_at = now(), expires = extract(epoch from now())::bigint - 1");
    expect(await purgeExpiredTokens(db.database)).to.equal(1);
    expect(await adopted.adopt(HASH, await lasting(-1))).to.equal("refused");
  });

  it("lets no token live longer than token_ttl", async () => {
    await adopt({ expiresAt: new Date("9999-12-31T23:59:59Z") });
    const [row] = await db.sql<{ left: number }>(
      "select (expires - extract(epoch from now()))::float8 as left from console_auth_tokens",
    );
    expect(row?.left).to.be.within(TTL - 5, TTL);
  });

  it("brings nothing back that was revoked since it was issued, even if the legacy store still has it", async () => {
    const { token, expiresAt } = await authorize(db.database, VM, "a");
    await new ConsoleTokenStore(db.database).revoke(VM, ACTOR);
    expect(await adopted.adopt(hashToken(token), legacyConsole({ expiresAt }))).to.equal("refused");
  });

  it("does not take a revocation amiss that was before, or that took back one token whose caller had gone", async () => {
    await new ConsoleTokenStore(db.database).revoke(VM, ACTOR);
    await db.sql("update audit_events set occurred_at = now() - interval '601 seconds'");
    const { token } = await authorize(db.database, VM, "a");
    await new ConsoleAuthorizer(db.database).withdraw(token, ACTOR);
    expect(await adopt()).to.equal("adopted");
  });
});
