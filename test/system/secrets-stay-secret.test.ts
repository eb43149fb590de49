// SPDX-License-Identifier: Apache-2.0
// Consoles and mistakes, and then a look into every place where a secret could have been left. The logs and the database of
// every other scenario are searched as well, when it stops (deployment.ts).
import { credentials } from "@grpc/grpc-js";
import { expect } from "chai";
import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ChildProgram } from "../../demo/child-program.js";
import { defineAndStart } from "../../demo/demo-machine.js";
import { freePort } from "../../demo/ports.js";
import { ConsoleServiceClient } from "../../proto/gen/spicegate/console/v1/console.js";
import { dumpDatabase } from "../harness/database-dump.js";
import { outputOfSpicegate, spicegate } from "../harness/cli.js";
import { Deployment } from "../harness/deployment.js";
import { callUnary } from "../harness/grpc-client.js";
import { sharedLibvirtd } from "../harness/hypervisor.js";
import { createDatabase } from "../harness/test-database.js";
import { postToken, tokenOf, Viewer } from "../harness/viewer.js";

const newSecret = (): string => randomBytes(32).toString("base64url");
const newAddress = async (): Promise<string> => `127.0.0.1:${await freePort()}`;

describe("secrets stay secret", function () {
  this.timeout(120_000);
  /** What is looked for, by what it is. */
  const secrets = new Map<string, string>();
  /** What our commands have printed. */
  const printed: string[] = [];
  let deployment: Deployment;
  let programs: ChildProgram[];
  let telemetry: string[];

  before(async () => {
    const libvirtd = await sharedLibvirtd();
    const machine = await defineAndStart(libvirtd, { name: "secretive", displays: ["spice-tcp"] });
    await start(libvirtd.uri);
    await deployment.knows(machine.uuid);
    await openConsoles(machine.uuid);
    await makeMistakesAtTheApi();
    await makeMistakesAtTheProxy();
    await makeMistakesInSettings();
  });
  after(() => deployment.stop());

  /** Everything as processes, the password in a file, the talkative log. */
  async function start(libvirtUri: string): Promise<void> {
    const databaseUrl = await createDatabase();
    const url = new URL(databaseUrl);
    keep("the database's password", url.password);
    url.password = "";
    const [agentTelemetry, legacy, legacyTelemetry] = [await newAddress(), await newAddress(), await newAddress()];
    deployment = await Deployment.create({
      databaseUrl,
      controller: {
        database: { url: url.href },
        workarounds: { enable_consoleauth: true },
        consoleauth: { address: legacy, listen: legacy, telemetry_listen: legacyTelemetry },
        log: { level: "trace" },
      },
    });
    writeSettings(
      deployment.controllerConfig,
      readFileSync(deployment.controllerConfig, "utf8"),
      secretNamed("password"),
    );
    programs = [
      deployment.addConsoleAuth(legacyTelemetry),
      deployment.controller,
      deployment.addAgent(deployment.host, libvirtUri, agentTelemetry, { log: { level: "trace" } }),
    ];
    telemetry = [deployment.telemetry, agentTelemetry, legacyTelemetry];
    for (const program of programs) await program.start();
  }

  /** A settings file whose password is in a file beside it. */
  function writeSettings(file: string, text: string, password: string): void {
    writeFileSync(`${file}.password`, `${password}\n`, { mode: 0o600 });
    writeFileSync(file, text.replace(/^database:$/m, `database:\n  password_file: ${file}.password`));
  }

  function keep(what: string, secret: string): string {
    expect(secret, what).to.have.length.above(20);
    secrets.set(what, secret);
    return secret;
  }

  function secretNamed(part: string): string {
    return [...secrets].find(([what]) => what.includes(part))?.[1] ?? "";
  }

  async function openConsoles(uuid: string): Promise<void> {
    const first = ["--config", deployment.controllerConfig, "user", "token", "--first", "--subject", "root"];
    const bearer = keep("a caller's token", (await outputOfSpicegate(first)).trim());
    const ask = async (): Promise<string> => {
      const result = await deployment.getConsole(uuid, { headers: { authorization: `Bearer ${bearer}` } });
      if (!result.ok) throw new Error(result.failure.message);
      return tokenOf(result.response.url);
    };
    keep("a token that nobody used", await ask());
    const viewer = await Viewer.open(deployment.proxy, keep("a token that was used", await ask()));
    keep("a session's proof", viewer.proof);
    const { main } = await viewer.joinMain();
    await main.close();
    const body = { remote_console: { protocol: "spice", type: "spice-html5" } };
    const rest = await deployment.rest.post(`/v2.1/servers/${uuid}/remote-consoles`, body, {
      version: "2.8",
      token: bearer,
    });
    keep("a token of the REST API", /token=([\w-]+)/.exec(rest.text)?.[1] ?? "");
  }

  async function makeMistakesAtTheApi(): Promise<void> {
    const client = new ConsoleServiceClient(deployment.api, credentials.createInsecure());
    const token = keep("a token in the wrong place", newSecret());
    const get = client.getSpiceConsole.bind(client);
    const lookup = client.lookupConsoleToken.bind(client);
    const shown = [
      `Basic ${keep("a malformed credential", newSecret())}`,
      `Bearer ${keep("a token of nobody", newSecret())}`,
    ];
    const unknown = `Bearer sgu_${keep("a token of nobody, in the right form", newSecret())}`;
    const answers = [
      ...(await Promise.all(
        [...shown, unknown].map((authorization) => {
          return callUnary(get, { instanceUuid: token, consoleType: "" }, { headers: { authorization } });
        }),
      )),
      await callUnary(get, { instanceUuid: "", consoleType: token }),
      await callUnary(lookup, { token: keep("a token that nobody issued", newSecret()) }),
      await callUnary(lookup, { token: `${keep("a token and more", newSecret())}\0` }),
      await callUnary(lookup, { token: secretNamed("was used") }),
    ];
    client.close();
    for (const answer of answers) expect(answer.ok).to.equal(false);
    await deployment.rest.lookup(keep("a token in an address", newSecret()));
    const rawBody = `{"remote_console": {"type": "${keep("a token in a body that is no JSON", newSecret())}"`;
    await deployment.rest.post("/v2.1/servers/x/remote-consoles", {}, { rawBody, version: "2.8" });
    const bearer = keep("a token of Keystone", newSecret());
    await deployment.rest.get(`/v2.1/servers?marker=${bearer}`, { token: bearer, version: "2.8" });
  }

  async function makeMistakesAtTheProxy(): Promise<void> {
    const { proxy } = deployment;
    await postToken(proxy, keep("a token that is none", newSecret()));
    await postToken(proxy, secretNamed("was used"), { origin: "https://evil.example" });
    const stray = keep("a token in the wrong address", newSecret());
    for (const path of [`console?token=${stray}`, `s/${stray}/status`, `assets/${stray}`, stray]) {
      const response = await fetch(`http://${proxy}/${path}`, { headers: { cookie: `spicegate_session=${stray}` } });
      await response.body?.cancel();
    }
    const headers = { "content-type": "application/json" };
    const response = await fetch(`http://${proxy}/api/sessions`, {
      method: "POST",
      headers,
      body: `{"token":"${stray}`,
    });
    await response.body?.cancel();
    const foreign = new Viewer(proxy, "A".repeat(22), `spicegate_session=${keep("a proof that is none", newSecret())}`);
    await foreign.connect().then(
      () => expect.fail("it must be refused"),
      () => undefined,
    );
  }

  /** The commands with the settings as they are, with a wrong password, and with a file that cannot be read. */
  async function makeMistakesInSettings(): Promise<void> {
    const right = readFileSync(deployment.controllerConfig, "utf8");
    const wrong = join(deployment.folder, "wrong.yaml");
    writeSettings(wrong, right.replace(/\n {2}password_file: .*/, ""), keep("a wrong password", newSecret()));
    const password = keep("a password in the settings", newSecret());
    const inUrl = join(deployment.folder, "in-url.yaml");
    writeFileSync(inUrl, right.replace(/postgres(ql)?:\/\/([^:@]+):?@/, `postgres://$2:${password}@`));
    const broken = join(deployment.folder, "broken.yaml");
    writeFileSync(broken, readFileSync(inUrl, "utf8").replace(/^ {2}url: /m, "  url "));
    const checked = [deployment.controllerConfig, wrong, inUrl, broken].map((file) => [file, "check-config"] as const);
    for (const [file, command] of [...checked, [wrong, "migrate"], [wrong, "upgrade-check"]] as const) {
      const { stdout, stderr } = await spicegate(["--config", file, command]);
      printed.push(stdout, stderr);
    }
    expect(printed.join(""), "the wrong password was noticed").to.match(/password authentication failed/);
    expect(printed.join(""), "the broken file was noticed").to.match(/is not valid YAML/);
  }

  function expectNone(text: string): void {
    expect(text).to.have.length.above(0);
    const found = [...secrets].filter(
      ([, secret]) => text.includes(secret) || text.includes(encodeURIComponent(secret)),
    );
    expect(found.map(([what]) => what)).to.deep.equal([]);
  }

  it("in every log", () => expectNone(deployment.logs()));

  it("in what check-config and the other commands print", () => expectNone(printed.join("")));

  it("in the arguments and the environment of every program, which the machine's tools show", () => {
    for (const { pid } of programs) {
      expectNone(readFileSync(`/proc/${pid}/cmdline`, "utf8"));
      expectNone(readFileSync(`/proc/${pid}/environ`, "utf8"));
    }
  });

  it("in metrics and readiness, which anybody on the machine may ask for", async () => {
    for (const address of telemetry) {
      for (const path of ["metrics", "readyz"]) expectNone(await (await fetch(`http://${address}/${path}`)).text());
    }
  });

  it("in every row of the database, the audit's among them", async () => {
    const dump = await dumpDatabase(deployment.databaseUrl);
    expect(dump).to.include("redeemed").and.include("issued");
    expectNone(dump);
  });
});
