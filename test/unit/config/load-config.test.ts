// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { ConfigError, effectiveSettings, listSettings, loadConfig } from "../../../src/config/load-config.js";

const schema = z.strictObject({
  api: z
    .strictObject({
      listen: z.string().default("127.0.0.1:1").describe("Where."),
      password: z.string().optional().describe("Secret.").meta({ secret: true }),
    })
    .prefault({}),
  consoleauth: z.strictObject({ token_ttl: z.int().min(10).default(600).describe("Seconds.") }).prefault({}),
});

describe("loadConfig", () => {
  let folder: string;
  const write = (text: string): string => {
    const file = join(folder, "config.yaml");
    writeFileSync(file, text);
    return file;
  };

  before(() => {
    folder = mkdtempSync(join(tmpdir(), "spicegate-config-"));
  });
  after(() => rmSync(folder, { recursive: true }));

  const problemsOf = (file: string | undefined, env: Record<string, string> = {}): readonly string[] => {
    try {
      loadConfig(schema, { file, env });
    } catch (error) {
      if (error instanceof ConfigError) return error.problems;
      throw error;
    }
    return [];
  };

  it("has a default for everything", () => {
    const config = loadConfig(schema, { env: {} });
    expect(config).to.deep.equal({ api: { listen: "127.0.0.1:1" }, consoleauth: { token_ttl: 600 } });
  });

  it("lets the environment win over the file", () => {
    const file = write("api: {listen: 'a:1'}\nconsoleauth: {token_ttl: 20}\n");
    const env = { SPICEGATE_CONSOLEAUTH__TOKEN_TTL: "30", SPICEGATE_CONFIG: file };
    expect(loadConfig(schema, { file, env })).to.deep.equal({
      api: { listen: "a:1" },
      consoleauth: { token_ttl: 30 },
    });
  });

  it("keeps a text from the environment a text", () => {
    expect(loadConfig(schema, { env: { SPICEGATE_API__LISTEN: "12" } }).api.listen).to.equal("12");
  });

  it("takes an empty file for no settings", () => {
    expect(problemsOf(write(""))).to.deep.equal([]);
  });

  it("reports every problem at once and suggests the nearest name", () => {
    const problems = problemsOf(write("api: {listn: x}\nconsoleauth: {token_ttl: 5}\nspace: 1\n"), {
      SPICEGATE_API__LISTE: "x",
    });
    expect(problems).to.have.length(4);
    expect(problems.join("\n"))
      .to.include("api.listn: no such setting; did you mean api.listen?")
      .and.include("consoleauth.token_ttl: Too small")
      .and.include("space: no such setting")
      .and.include("SPICEGATE_API__LISTE: no such setting; did you mean SPICEGATE_API__LISTEN?");
  });

  it("says what is wrong with a file it cannot use", () => {
    expect(problemsOf(join(folder, "missing.yaml"))[0]).to.match(/^cannot read .*ENOENT/);
    expect(problemsOf(write("a: [1"))[0]).to.match(/is not valid YAML: .* at line 1, column \d+$/);
    expect(problemsOf(write("a: *nothing"))[0]).to.match(/is not valid YAML: an alias/);
    expect(problemsOf(write("- 1"))[0]).to.match(/must hold sections/);
  });

  it("quotes no line of a file it cannot read, which may be the one with the password", () => {
    for (const text of [
      "\n  url: S3CRET\napi:\n",
      "api: { password: S3CRET",
      'api: "S3CRET',
      "api: *S3CRET",
      "api: !!S3CRET x",
    ]) {
      const problems = problemsOf(write(text));
      expect(problems, text).to.have.length.above(0);
      expect(problems.join("\n"), text).to.not.include("S3CRET");
    }
  });

  it("has the parser write no warnings of its own, which quote lines too", async () => {
    const warnings: Error[] = [];
    const listener = (warning: Error): void => void warnings.push(warning);
    process.on("warning", listener);
    problemsOf(write("api: { password: !!S3CRET x }"));
    problemsOf(write("api: { [S3CRET]: x }"));
    await new Promise((resolve) => setImmediate(resolve));
    process.off("warning", listener);
    expect(warnings).to.deep.equal([]);
  });
});

describe("listSettings", () => {
  it("lists names, environment names, defaults and descriptions", () => {
    expect(listSettings(schema).map(({ name, env, default: fallback }) => [name, env, fallback])).to.deep.equal([
      ["api.listen", "SPICEGATE_API__LISTEN", '"127.0.0.1:1"'],
      ["api.password", "SPICEGATE_API__PASSWORD", undefined],
      ["consoleauth.token_ttl", "SPICEGATE_CONSOLEAUTH__TOKEN_TTL", "600"],
    ]);
  });
});

describe("effectiveSettings", () => {
  it("masks secrets, and only the password of a URL", () => {
    const show = (password: string): unknown => effectiveSettings(schema, { api: { password } })["api.password"];
    expect(show("hunter2")).to.equal("[hidden]");
    expect(show("postgres://user:hunter2@host/db")).to.equal("postgres://user:hidden@host/db");
  });
});
