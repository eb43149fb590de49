// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ControllerConfig } from "../../../src/config/controller-config.js";
import { loadControllerConfig } from "../../../src/config/controller-config.js";
import { ConfigError } from "../../../src/config/load-config.js";

describe("translateNovaOptions", () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "spicegate-nova-"));
  });
  after(() => rmSync(folder, { recursive: true }));

  const load = (text: string, env: Record<string, string> = {}): ControllerConfig => {
    const file = join(folder, "controller.yaml");
    writeFileSync(file, text);
    return loadControllerConfig({ file, env });
  };
  const problemsOf = (text: string, env: Record<string, string> = {}): readonly string[] => {
    try {
      load(text, env);
    } catch (error) {
      if (error instanceof ConfigError) return error.problems;
      throw error;
    }
    return [];
  };

  it("takes each alias for the setting that it means, from the file and from the environment", () => {
    const config = load(
      "DEFAULT: {web: /srv/page, console_allowed_origins: ['https://one.example']}\nspice: {html5proxy_port: 7000}",
      { SPICEGATE_DEFAULT__CONSOLE_TOKEN_TTL: "20", SPICEGATE_SPICE__HTML5PROXY_HOST: "127.0.0.9" },
    );
    expect(config.proxy).to.deep.include({ web: "/srv/page", listen: "127.0.0.9:7000" });
    expect(config.consoleauth.token_ttl).to.equal(20);
    expect(config.console.allowed_origins).to.deep.equal(["https://one.example"]);
  });

  it("takes the other half of an address from the default", () => {
    expect(load("spice: {html5proxy_port: 7000}").proxy.listen).to.equal("127.0.0.1:7000");
    expect(load("spice: {html5proxy_host: '::1'}").proxy.listen).to.equal("[::1]:6082");
  });

  it("lets the environment win over the file where both use Nova's name", () => {
    expect(load("DEFAULT: {web: /a}", { SPICEGATE_DEFAULT__WEB: "/b" }).proxy.web).to.equal("/b");
  });

  it("refuses two names of one setting, and names both", () => {
    expect(problemsOf("DEFAULT: {web: /a}\nproxy: {web: /a}")).to.deep.equal([
      "DEFAULT.web and proxy.web are one setting; keep proxy.web",
    ]);
    expect(problemsOf("spice: {html5proxy_port: 1}", { SPICEGATE_PROXY__LISTEN: "127.0.0.1:1" })).to.deep.equal([
      "spice.html5proxy_port and proxy.listen are one setting; keep proxy.listen",
    ]);
    expect(problemsOf("DEFAULT: {console_token_ttl: 20}\nconsoleauth: {token_ttl: 20}")).to.deep.equal([
      "DEFAULT.console_token_ttl and consoleauth.token_ttl are one setting; keep consoleauth.token_ttl",
    ]);
  });

  it("says what is wrong with a value under the name that it was given", () => {
    expect(problemsOf("spice: {html5proxy_host: 0.0.0.0}")[0]).to.match(
      /^spice\.html5proxy_host \(proxy\.listen\): must be a loopback address/,
    );
    expect(problemsOf("DEFAULT: {console_token_ttl: 5}")[0]).to.match(
      /^DEFAULT\.console_token_ttl \(consoleauth\.token_ttl\): Too small/,
    );
    expect(problemsOf("DEFAULT: {console_allowed_origins: [dashboard.example]}")[0]).to.match(
      /^DEFAULT\.console_allowed_origins \(console\.allowed_origins\.0\): must be a whole origin/,
    );
  });

  it("reports every option at once, and others of Nova's sections by name", () => {
    expect(problemsOf("DEFAULT: {daemon: true, debug: true}\nupgrade_levels: {consoleauth: rocky, compute: rocky}"))
      .to.have.length(4)
      .and.include("DEFAULT.debug: no such setting")
      .and.include("upgrade_levels.compute: no such setting");
  });
});
