// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadControllerConfig } from "../../../src/config/controller-config.js";
import { AdoptedTokens } from "../../../src/consoleauth/adopted-tokens.js";
import { checkUpgrade } from "../../../src/consoleauth/upgrade-check.js";
import type { UpgradeReport } from "../../../src/consoleauth/upgrade-check.js";
import { ConsoleAuthProgram } from "../../../src/consoleauth-program.js";
import { silentLog } from "../../../src/lib/log.js";
import { UserTokenStore } from "../../../src/identity/user-token-store.js";
import { freePort } from "../../../demo/ports.js";
import { PROJECT_FOLDER } from "../../../demo/spicegate-programs.js";
import { registrationOf, registryOn, uuidOf } from "../../harness/inventory.js";
import { hashNamed, legacyConsole } from "../../harness/legacy-consoles.js";
import { createDatabase, TestDatabase } from "../../harness/test-database.js";

const ON = { SPICEGATE_WORKAROUNDS__ENABLE_CONSOLEAUTH: "true" };

describe("upgrade-check", () => {
  let db: TestDatabase;
  let address: string;
  let program: ConsoleAuthProgram;
  let folder: string;
  let tokenFile: string;

  before(async () => {
    db = await TestDatabase.create();
    folder = mkdtempSync(join(tmpdir(), "spicegate-test-"));
    tokenFile = join(folder, "token");
    const wish = { subject: "controller", projectId: "", roles: ["service"] as const, ttlSeconds: 3_600 };
    const actor = { subject: "test", projectId: "", requestId: "", clientAddress: "" };
    const { token } = await new UserTokenStore(db.database).create(wish, actor);
    writeFileSync(tokenFile, `${token}\n`);
    await registryOn(db.database).register(registrationOf(uuidOf(1), { host: "a" }));
    address = `127.0.0.1:${await freePort()}`;
    const telemetry = `127.0.0.1:${await freePort()}`;
    const env = {
      SPICEGATE_CONSOLEAUTH__LISTEN: address,
      SPICEGATE_CONSOLEAUTH__TELEMETRY_LISTEN: telemetry,
      SPICEGATE_DATABASE__URL: db.url,
    };
    program = new ConsoleAuthProgram({ config: loadControllerConfig({ env }), log: silentLog });
    await program.start();
  });

  after(async () => {
    await program.stop();
    await db.stop();
    rmSync(folder, { recursive: true });
  });

  beforeEach(() => db.sql("truncate console_auth_tokens, audit_events"));

  const settings = (env: Readonly<Record<string, string>> = {}): Record<string, string> => ({
    SPICEGATE_DATABASE__URL: db.url,
    SPICEGATE_CONSOLEAUTH__ADDRESS: address,
    SPICEGATE_CONSOLEAUTH__TOKEN_FILE: tokenFile,
    ...env,
  });
  const check = (env?: Readonly<Record<string, string>>): Promise<UpgradeReport> =>
    checkUpgrade(loadControllerConfig({ env: settings(env) }));

  /** Each check's result, and all texts without the table's lines. */
  function read({ text }: UpgradeReport): { results: Record<string, string>; details: string } {
    const lines = text.split("\n").map((line) => line.replace(/^\| (.*?) *\|$/, "$1"));
    const found = text.matchAll(/Check: (.*?) +\|\n\| Result: (\w+)/g);
    const results = Array.from(found, ([, name = "", result = ""]) => [name, result] as const);
    return {
      results: Object.fromEntries(results),
      details: lines.join(" ").replace(/\s+/g, " "),
    };
  }

  it("has nothing to say while the flag is off", async () => {
    const report = await check({ SPICEGATE_CONSOLEAUTH__ADDRESS: "127.0.0.1:1" });
    expect(read(report).results).to.deep.equal({
      "Database schema": "Success",
      "Legacy store": "Success",
      "Console auths": "Success",
    });
    expect(report.exitCode).to.equal(0);
  });

  it("says that the flag can go off where the last token_ttl saw no token of the legacy store alone", async () => {
    await new AdoptedTokens(db.database, 600).adopt(hashNamed("a"), legacyConsole());
    await db.sql("update audit_events set occurred_at = now() - interval '601 seconds'");
    const report = await check(ON);
    expect(report.exitCode).to.equal(0);
    expect(read(report).details).to.include("set workarounds.enable_consoleauth to false");
  });

  it("warns of tokens that only the legacy store knew: how many, the last, and how long to wait", async () => {
    const adopted = new AdoptedTokens(db.database, 600);
    for (const name of ["a", "b"]) await adopted.adopt(hashNamed(name), legacyConsole());
    const [last] = await db.sql<{ at: Date }>("select max(occurred_at) as at from audit_events");
    const report = await check(ON);
    expect(report.exitCode).to.equal(1);
    const { results, details } = read(report);
    expect(results).to.deep.include({ "Console auths": "Warning", "Legacy store": "Success" });
    expect(details).to.include("2 token(s)").and.to.include(last?.at.toISOString()).and.to.include("wait 600 s");
  });

  it("fails where the legacy store does not answer, since nobody could count then", async () => {
    const report = await check({ ...ON, SPICEGATE_CONSOLEAUTH__ADDRESS: "127.0.0.1:1" });
    expect(report.exitCode).to.equal(2);
    expect(read(report).results).to.deep.include({ "Legacy store": "Failure", "Console auths": "Success" });
  });

  it("fails where the legacy store does not know who asks, and says which setting it is", async () => {
    const nobody = join(folder, "nobody");
    writeFileSync(nobody, `sgu_${"x".repeat(43)}`);
    const { results, details } = read(await check({ ...ON, SPICEGATE_CONSOLEAUTH__TOKEN_FILE: nobody }));
    expect(results).to.deep.include({ "Legacy store": "Failure" });
    expect(details).to.include("UNAUTHENTICATED").and.to.include("consoleauth.token_file");
  });

  it("fails where the database is away or has another schema", async () => {
    for (const url of ["postgres://nobody@127.0.0.1:1/none", await createDatabase("empty")]) {
      const report = await check({ ...ON, SPICEGATE_DATABASE__URL: url });
      expect(report.exitCode).to.equal(2);
      const failed = { "Database schema": "Failure", "Console auths": "Failure" };
      expect(read(report).results).to.deep.include(failed);
    }
  });

  it("prints a table as nova-status does, and leaves with its exit codes", async function () {
    this.timeout(30_000);
    const run = (env: Readonly<Record<string, string>>): Promise<{ code: number; said: string }> =>
      new Promise((resolve) => {
        const args = [`${PROJECT_FOLDER}/dist/src/main.js`, "upgrade-check"];
        const child = execFile(process.execPath, args, { env: settings(env) }, (_error, stdout) =>
          resolve({ code: child.exitCode ?? -1, said: stdout }),
        );
      });
    const { code, said } = await run(ON);
    const lines = said.trimEnd().split("\n");
    expect(code).to.equal(0);
    expect(new Set(lines.map((line) => line.length)), said).to.deep.equal(new Set([80]));
    expect(lines.slice(0, 3).join("\n")).to.match(/^\+-+\+\n\| Upgrade Check Results +\|\n\+-+\+$/);
    expect((await run({ ...ON, SPICEGATE_CONSOLEAUTH__ADDRESS: "127.0.0.1:1" })).code).to.equal(2);
    expect((await run({ SPICEGATE_API__LISTEN: "nonsense" })).code).to.equal(255);
  });
});
