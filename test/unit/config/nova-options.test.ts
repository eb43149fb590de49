// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { agentSchema, loadAgentConfig } from "../../../agent/agent-config.js";
import { controllerSchema, loadControllerConfig } from "../../../src/config/controller-config.js";
import { formatSettings, listSettings } from "../../../src/config/load-config.js";
import { NOVA_OPTIONS, novaNames } from "../../../src/config/nova-options.js";

const WORKS = [
  "spice.enabled",
  "spice.html5proxy_host",
  "spice.html5proxy_port",
  "spice.html5proxy_base_url",
  "spice.server_proxyclient_address",
  "spice.spice_direct_proxy_base_url",
  "consoleauth.token_ttl",
  "DEFAULT.console_token_ttl",
  "consoleauth.enforce_session_timeout",
  "workarounds.enable_consoleauth",
  "console.allowed_origins",
  "DEFAULT.console_allowed_origins",
  "console.ssl_ciphers",
  "console.ssl_minimum_version",
  "DEFAULT.cert",
  "DEFAULT.key",
  "DEFAULT.web",
  "cache.enabled",
  "cache.memcache_servers",
];
const REFUSED = [
  "spice.agent_enabled",
  "spice.server_listen",
  "spice.keymap",
  "spice.image_compression",
  "spice.jpeg_compression",
  "spice.zlib_compression",
  "spice.playback_compression",
  "spice.streaming_mode",
  "spice.require_secure",
  "upgrade_levels.consoleauth",
  "DEFAULT.record",
  "DEFAULT.daemon",
  "DEFAULT.ssl_only",
  "DEFAULT.source_is_ipv6",
  "DEFAULT.instance_delete_interval",
];

const env = (name: string, value: string): Record<string, string> => ({
  [`SPICEGATE_${name.toUpperCase().replaceAll(".", "__")}`]: value,
});

describe("Nova's options", () => {
  it("are all in the table, each once", () => {
    const names = NOVA_OPTIONS.map(({ name }) => name);
    expect([...names].sort()).to.deep.equal([...WORKS, ...REFUSED].sort());
  });

  it("that work here name a setting of the program that they belong to", () => {
    const settings = { controller: listSettings(controllerSchema), agent: listSettings(agentSchema) };
    for (const option of NOVA_OPTIONS) {
      if (!("setting" in option)) continue;
      expect(WORKS).to.include(option.name);
      expect(settings[option.program].map(({ name }) => name)).to.include(option.setting);
    }
  });

  it("that mean nothing here are refused with the reason, by both programs", () => {
    for (const name of REFUSED) {
      for (const load of [loadControllerConfig, loadAgentConfig]) {
        const refused = `${name}: an option of Nova that has no meaning here: `;
        expect(() => load({ env: env(name, "1") }), name).to.throw(refused);
      }
    }
  });

  it("that belong to the other program are sent there", () => {
    const controller = (name: string) => () => loadControllerConfig({ env: env(name, "1") });
    const agent = (name: string) => () => loadAgentConfig({ env: env(name, "1") });
    expect(controller("spice.enabled")).to.throw("spice.enabled: belongs to the settings of the agent");
    expect(agent("consoleauth.token_ttl")).to.throw("consoleauth.token_ttl: belongs to the settings of the controller");
    expect(agent("DEFAULT.web")).to.throw(
      "DEFAULT.web: belongs to the settings of the controller, where it is proxy.web",
    );
  });

  it("are shown by check-config where they are another name of a setting", () => {
    expect(novaNames("proxy.listen")).to.deep.equal(["spice.html5proxy_host", "spice.html5proxy_port"]);
    const text = formatSettings(controllerSchema, loadControllerConfig({ env: env("DEFAULT.web", "/srv/page") }));
    expect(text)
      .to.include('proxy.web: "/srv/page"  # Nova: DEFAULT.web\n')
      .and.include('"127.0.0.1:6082"  # Nova: spice.html5proxy_host, spice.html5proxy_port\n')
      .and.include("consoleauth.enforce_session_timeout: false\n");
  });
});
