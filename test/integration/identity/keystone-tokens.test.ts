// SPDX-License-Identifier: Apache-2.0
// Against Debian's Keystone. What it cannot be made to do on demand is in the unit tests.
import { expect } from "chai";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Registry } from "prom-client";
import { waitUntil } from "../../../demo/wait-until.js";
import { loadControllerConfig } from "../../../src/config/controller-config.js";
import type { KeystoneSettings } from "../../../src/config/keystone-settings.js";
import { KeystoneTokens } from "../../../src/identity/keystone-tokens.js";
import { silentLog } from "../../../src/lib/log.js";
import { reasonOf } from "../../../src/lib/service-error.js";
import type { Caller } from "../../../src/rpc/caller.js";
import { NOBODY } from "../../../src/rpc/caller.js";
import { createControllerMetrics } from "../../../src/telemetry/controller-metrics.js";
import type { RolePlace } from "../../harness/keystone.js";
import { Keystone, KEYSTONE_SERVICE_USER } from "../../harness/keystone.js";
import { rejectionOf } from "../../harness/rejection.js";

const NEVER = new AbortController().signal;
const RED = { project: "red" };

describe("KeystoneTokens with Debian's Keystone", function () {
  this.timeout(120_000);
  let keystone: Keystone;
  const open: KeystoneTokens[] = [];

  before(async () => {
    keystone = await Keystone.create();
    await keystone.start();
    await keystone.grant("alice", "member", RED);
    await keystone.grant("rita", "reader", RED);
    await keystone.grant("root", "admin", RED);
    await keystone.grant("root", "admin", "system");
    await keystone.grant("root", "admin", "domain");
    await keystone.grant("watcher", "reader", "system");
    await keystone.grant("painter", "painting", RED);
  });
  after(() => keystone.stop());
  afterEach(() => {
    for (const source of open.splice(0)) source.stop();
  });

  /** A new controller's knowledge, which remembers nothing unless told. */
  function source(env: Readonly<Record<string, string>> = {}, cacheSeconds = 0): KeystoneTokens {
    const config = loadControllerConfig({
      env: { ...envOf({ ...keystone.settings }), ...env },
    });
    const made = new KeystoneTokens({
      settings: { ...(config.identity.keystone as KeystoneSettings), cacheSeconds },
      metrics: createControllerMetrics(new Registry()),
      log: silentLog,
    });
    open.push(made);
    return made;
  }

  const show = (known: KeystoneTokens, token: string): Promise<Caller> =>
    Promise.resolve(known.identify({ token, address: "127.0.0.1" }, NEVER));

  const callerOf = async (user: string, place: RolePlace | "unscoped"): Promise<Caller> =>
    show(source(), await keystone.token(user, place));

  describe("knows a caller", () => {
    it("by its user's and its project's id, with the roles that it has there", async () => {
      const [subject, project] = [await keystone.userId("alice"), await keystone.projectId("red")];
      // Whoever is a member may read; Keystone itself says both.
      const caller = await callerOf("alice", RED);
      expect(caller).to.deep.include({ subject, project });
      expect(caller.roles).to.have.members(["member", "reader"]);
    });

    it("that may only read, and one that may do everything", async () => {
      expect((await callerOf("rita", RED)).roles).to.deep.equal(["reader"]);
      expect((await callerOf("root", RED)).roles).to.include("admin");
    });

    it("with a role that means nothing here", async () => {
      expect((await callerOf("painter", RED)).roles).to.deep.equal([]);
    });

    it("of the whole system, who sees every project or none", async () => {
      expect(await callerOf("root", "system")).to.deep.include({ project: "", roles: ["admin"] });
      expect(await callerOf("watcher", "system")).to.deep.include({ project: "", roles: [] });
    });

    it("with nothing to say here where its token is for a domain, or for no place", async () => {
      for (const place of ["domain", "unscoped"] as const) {
        const caller = await callerOf("root", place);
        expect(caller, place).to.deep.include({ subject: await keystone.userId("root"), project: "", roles: [] });
      }
    });
  });

  describe("knows nobody", () => {
    it("by a token that was revoked", async () => {
      const known = source();
      const token = await keystone.token("alice", RED);
      expect(await show(known, token)).to.not.equal(NOBODY);
      await keystone.revoke(token);
      expect(await show(known, token)).to.equal(NOBODY);
    });

    it("by a token of a user that was disabled meanwhile", async () => {
      const token = await keystone.token("alice", RED);
      await keystone.revokeAll("alice");
      expect(await show(source(), token)).to.equal(NOBODY);
    });

    it("by a token that was not given out by Keystone, whatever it looks like", async () => {
      const token = await keystone.token("alice", RED);
      const known = source();
      const others = ["x", "null", "../../users", "%00", "gAAAAA", token.slice(0, -1), `${token}A`, "A".repeat(4_096)];
      for (const other of others) expect(await show(known, other), other).to.equal(NOBODY);
    });

    it("by a token that may be used for another service only", async () => {
      expect(await show(source(), await keystone.restrictedToken("alice", "red"))).to.equal(NOBODY);
    });

    it("by a token that has expired", async () => {
      await keystone.restart(2);
      const token = await keystone.token("alice", RED);
      await keystone.restart();
      const known = source();
      const gone = async (): Promise<boolean> => (await show(known, token)) === NOBODY;
      await waitUntil(gone, { ms: 5_000, what: "the token to expire" });
    });
  });

  describe("with its own user", () => {
    it("goes on when its token is revoked", async () => {
      const known = source();
      const token = await keystone.token("alice", RED);
      await show(known, token);
      await keystone.revokeAll(KEYSTONE_SERVICE_USER);
      expect(await show(known, token)).to.include({ subject: await keystone.userId("alice") });
    });

    it("is IDENTITY_UNAVAILABLE without the role service, and says to give it", async () => {
      const known = source({
        SPICEGATE_IDENTITY__KEYSTONE_USERNAME: "alice",
        SPICEGATE_IDENTITY__KEYSTONE_PROJECT: "red",
      });
      const error = await rejectionOf(show(known, await keystone.token("rita", RED)));
      expect(reasonOf(error)).to.equal("IDENTITY_UNAVAILABLE");
      expect(error.cause).to.have.property("message").that.contains("give it the role service");
    });

    it("is IDENTITY_UNAVAILABLE with a wrong password", async () => {
      const file = join(keystone.folder, "wrong");
      writeFileSync(file, "sesame");
      const known = source({ SPICEGATE_IDENTITY__KEYSTONE_PASSWORD_FILE: file });
      const error = await rejectionOf(show(known, await keystone.token("alice", RED)));
      expect(reasonOf(error)).to.equal("IDENTITY_UNAVAILABLE");
      expect(error.cause).to.have.property("message").that.contains("see its password");
    });
  });

  it("goes on for callers that it remembers while Keystone is away, and asks again when it is back", async () => {
    const known = source({}, 60);
    const [first, second] = [await keystone.token("alice", RED), await keystone.token("rita", RED)];
    await show(known, first);
    keystone.program.kill("SIGKILL");
    await keystone.program.ended;
    expect((await show(known, first)).roles).to.include("member");
    expect(reasonOf(await rejectionOf(show(known, second)))).to.equal("IDENTITY_UNAVAILABLE");
    await keystone.program.start();
    expect((await show(known, second)).roles).to.deep.equal(["reader"]);
  });
});

/** Settings of the section "identity" as the environment has them. */
function envOf(settings: Readonly<Record<string, unknown>>): Readonly<Record<string, string>> {
  const entries = Object.entries(settings);
  return Object.fromEntries(
    entries.map(([name, value]) => [`SPICEGATE_IDENTITY__${name.toUpperCase()}`, String(value)]),
  );
}
