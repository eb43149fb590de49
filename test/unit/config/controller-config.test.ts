// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CHANNEL_TYPES } from "../../../src/config/console-settings.js";
import { controllerSchema, loadControllerConfig } from "../../../src/config/controller-config.js";
import { formatSettings, listSettings } from "../../../src/config/load-config.js";
import { channelTypeName } from "../../../src/sessions/channel-type.js";
import { TestAuthority } from "../../harness/certificates.js";

const load = (env: Record<string, string>): unknown => loadControllerConfig({ env });

describe("loadControllerConfig", () => {
  const LISTENERS = [
    ["api", "LISTEN"],
    ["agents", "LISTEN"],
    ["agents", "TUNNEL_LISTEN"],
    ["agents", "ADVERTISE"],
    ["gateway", "LISTEN"],
    ["proxy", "LISTEN"],
    ["telemetry", "LISTEN"],
  ] as const;
  const variable = (section: string, name: string): string => `SPICEGATE_${section.toUpperCase()}__${name}`;

  it("refuses every listener beyond loopback, unless its section has TLS or says that it has none", () => {
    for (const [section, name] of LISTENERS) {
      const beyond = { [variable(section, name)]: "10.0.0.1:1" };
      expect(() => load(beyond), name).to.throw(`${section}.${name.toLowerCase()}: must be a loopback address`);
      load({ ...beyond, [variable(section, "INSECURE")]: "true" });
    }
  });

  it("keeps the legacy store on loopback whatever anybody says", () => {
    for (const name of ["ADDRESS", "LISTEN", "TELEMETRY_LISTEN"]) {
      expect(() => load({ [variable("consoleauth", name)]: "10.0.0.1:1" })).to.throw("must be a loopback address");
    }
  });

  it("says what is wrong with the files of every section at once", () => {
    const missing = Object.fromEntries(
      LISTENERS.map(([section]) => [variable(section, "CERT"), `/missing-${section}`] as const),
    );
    const sections = ["api", "agents", "gateway", "proxy", "telemetry"];
    for (const section of sections) {
      const files = { ...missing, [variable("agents", "CA_FILE")]: "/missing-ca" };
      expect(() => load(files)).to.throw(
        `${section}.cert: ENOENT: no such file or directory, open '/missing-${section}'`,
      );
    }
  });

  describe("for agents", () => {
    const INSECURE = { [variable("agents", "INSECURE")]: "true" };
    const LISTEN = variable("agents", "LISTEN");
    const ADVERTISE = variable("agents", "ADVERTISE");

    it("asks for the authority by which their certificates are judged", () => {
      expect(() => load({ [variable("agents", "CERT")]: "a.pem" })).to.throw(
        "agents.ca_file: is needed with agents.cert",
      );
    });

    it("wants to know which address they dial where it listens on all", () => {
      for (const name of [LISTEN, variable("agents", "TUNNEL_LISTEN")]) {
        for (const all of ["0.0.0.0:50052", "[::]:50052"]) {
          expect(() => load({ ...INSECURE, [name]: all })).to.throw("agents.advertise: is needed where");
          load({ ...INSECURE, [name]: all, [ADVERTISE]: "10.0.0.1:50052" });
        }
      }
      const nowhere = { ...INSECURE, [ADVERTISE]: "0.0.0.0:50052" };
      expect(() => load(nowhere)).to.throw("agents.advertise: must be an address that agents can dial");
    });

    it("believes their machines' metadata unless they may be on other machines", () => {
      const trusts = (env: Record<string, string>, expected: boolean): void => {
        expect(load(env)).to.have.nested.property("inventory.trust_domain_metadata", expected);
      };
      trusts({}, true);
      trusts({ ...INSECURE, [LISTEN]: "10.0.0.1:50052" }, false);
      trusts({ ...INSECURE, [LISTEN]: "10.0.0.1:50052", SPICEGATE_INVENTORY__TRUST_DOMAIN_METADATA: "true" }, true);
      trusts({ SPICEGATE_INVENTORY__TRUST_DOMAIN_METADATA: "false" }, false);
    });
  });

  it("trusts nobody on this machine unless told to", () => {
    expect(load({})).to.have.nested.property("identity.trust_loopback", false);
  });

  it("is not disturbed by what the commands read from the environment", () => {
    load({ SPICEGATE_API: "127.0.0.1:1", SPICEGATE_CACERT: "/ca.pem", SPICEGATE_TOKEN: "t" });
  });

  it("reads the token for the legacy store from its file, and refuses an empty one", () => {
    const folder = mkdtempSync(join(tmpdir(), "spicegate-test-"));
    const file = join(folder, "token");
    const env = { SPICEGATE_CONSOLEAUTH__TOKEN_FILE: file };
    try {
      expect(() => load(env)).to.throw(/consoleauth\.token_file: ENOENT/);
      writeFileSync(file, "\n");
      expect(() => load(env)).to.throw("holds no token");
      writeFileSync(file, "secret\n");
      const config = loadControllerConfig({ env });
      expect(config.consoleauth.token).to.equal("secret");
      expect(formatSettings(controllerSchema, config)).not.to.contain("secret");
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  describe("for hosts that enrol", () => {
    const authority = new TestAuthority();
    after(() => authority.remove());

    const name = (setting: string): string => `SPICEGATE_ENROLLMENT__${setting.toUpperCase()}`;
    const files = { [name("ca_cert")]: authority.certFile, [name("ca_key")]: join(authority.folder, "ca.key") };

    it("is off without an authority, and good for a week with one", () => {
      expect(load({})).to.have.nested.property("enrollment.certificate_days", 7);
      load(files);
    });

    it("wants certificate and key of an authority, both", () => {
      expect(() => load({ [name("ca_cert")]: authority.certFile })).to.throw("ca_cert: needs enrollment.ca_key");
      expect(() => load({ [name("ca_key")]: authority.certFile })).to.throw("ca_key: needs enrollment.ca_cert");
      expect(() => load({ ...files, [name("ca_key")]: "/missing" })).to.throw("enrollment.ca_cert: ENOENT");
      const leaf = authority.issue();
      const noAuthority = { [name("ca_cert")]: leaf.certFile, [name("ca_key")]: leaf.keyFile };
      expect(() => load(noAuthority)).to.throw("no authority");
    });

    it("takes 1 to 90 days", () => {
      for (const days of ["0", "91", "1.5"]) expect(() => load({ [name("certificate_days")]: days })).to.throw("days");
      for (const days of ["1", "90"]) load({ [name("certificate_days")]: days });
    });
  });

  describe("with TLS for browsers", () => {
    const authority = new TestAuthority();
    const { certFile, keyFile, cert, key } = authority.issue();
    after(() => authority.remove());

    const name = (setting: string): string => `SPICEGATE_PROXY__${setting.toUpperCase()}`;
    const listen = { [name("listen")]: "0.0.0.0:6082" };
    const files = { [name("cert")]: certFile, [name("key")]: keyFile };

    it("lets the proxy listen beyond loopback, and hands out https", () => {
      expect(() => load(listen)).to.throw("proxy.listen: must be a loopback address");
      expect(() => load({ SPICEGATE_SPICE__HTML5PROXY_HOST: "0.0.0.0" })).to.throw(
        "spice.html5proxy_host (proxy.listen)",
      );
      const config = load({ ...listen, ...files });
      expect(config).to.have.nested.property("proxy.listen", "0.0.0.0:6082");
      expect(config).to.have.nested.property("spice.html5proxy_base_url", "https://127.0.0.1:6082/console");
      expect(load({})).to.have.nested.property("spice.html5proxy_base_url", "http://127.0.0.1:6082/console");
    });

    it("takes the key from the certificate's file where it has none of its own, and Nova's names", () => {
      const both = join(authority.folder, "self.pem");
      writeFileSync(both, key + cert);
      load({ SPICEGATE_DEFAULT__CERT: both });
      load({ SPICEGATE_DEFAULT__CERT: certFile, SPICEGATE_DEFAULT__KEY: keyFile });
    });

    it("says what is wrong with the files before anything starts", () => {
      expect(() => load({ ...files, [name("key")]: "/missing" })).to.throw(/proxy\.cert: ENOENT.*\/missing/);
      const other = authority.issue().keyFile;
      expect(() => load({ ...files, [name("key")]: other })).to.throw("hold no certificate with its key");
      expect(() => load({ [name("cert")]: certFile })).to.throw("proxy.cert: ");
      expect(() => load({ [name("key")]: keyFile })).to.throw("proxy.key: needs proxy.cert");
    });

    it("speaks nothing older than TLS 1.2, and knows the ciphers", () => {
      expect(() => load({ SPICEGATE_CONSOLE__SSL_MINIMUM_VERSION: "tlsv1_1" })).to.throw("console.ssl_minimum_version");
      expect(() => load({ SPICEGATE_CONSOLE__SSL_CIPHERS: "NONE-SUCH" })).to.throw(
        "console.ssl_ciphers: must be a list",
      );
      load({ SPICEGATE_CONSOLE__SSL_MINIMUM_VERSION: "tlsv1_3", SPICEGATE_CONSOLE__SSL_CIPHERS: "HIGH:!aNULL" });
    });

    it("reads the authorities of displays", () => {
      const file = "SPICEGATE_DISPLAYS__CA_FILE";
      expect(load({ [file]: authority.certFile })).to.have.nested.property("displays.ca", authority.cert);
      expect(load({})).to.have.nested.property("displays.ca", undefined);
      expect(() => load({ [file]: "/missing" })).to.throw("displays.ca_file: ENOENT");
      expect(() => load({ [file]: keyFile })).to.throw("holds no certificate in PEM form");
    });
  });

  it("takes a way and a subject for single hosts", () => {
    const hosts = (text: string): unknown => load({ SPICEGATE_DISPLAYS__HOSTS: text });
    const one = { data_path: "direct", subject: "O=Example,CN=h1" };
    expect(hosts(JSON.stringify({ h1: one }))).to.have.deep.nested.property("displays.hosts", { h1: one });
    expect(() => hosts("{ h1: { data_path: tunnel } }")).to.throw("displays.hosts.h1.data_path");
    expect(() => hosts("{ h1: { subject: h1 } }")).to.throw("must be a subject such as");
    expect(() => hosts("{ h1: { ca: x } }")).to.throw("displays.hosts.h1.ca: no such setting");
  });

  it("refuses an address for agents that is beyond loopback, or that names no port", () => {
    const name = "SPICEGATE_AGENTS__ADVERTISE";
    expect(() => load({ [name]: "10.0.0.1:50052" })).to.throw("must be a loopback address");
    expect(() => load({ [name]: "127.0.0.1:0" })).to.throw("agents.advertise: must name a port");
    load({ [name]: "127.0.0.1:50052" });
  });

  it("refuses a database beyond loopback unless the URL says how it is reached", () => {
    const name = "SPICEGATE_DATABASE__URL";
    for (const url of ["postgres://u@db.example.org/d", "postgres://u@10.0.0.1/d", "postgres://u@[2001:db8::1]/d"]) {
      expect(() => load({ [name]: url }), url).to.throw("database.url: must name a database on loopback");
      load({ [name]: `${url}?sslmode=verify-full` });
    }
    for (const url of ["postgres://u@localhost/d", "postgres://u@[::1]/d", "postgres:///d?host=/run/postgresql"]) {
      load({ [name]: url });
    }
  });

  it("refuses a base URL that already has a query or a fragment", () => {
    for (const url of ["http://a/?x=1", "http://a/#x", "ftp://a/", "a"]) {
      const name = "SPICEGATE_SPICE__HTML5PROXY_BASE_URL";
      expect(() => load({ [name]: url }), url).to.throw("must be an http or https URL without query and fragment");
    }
  });

  it("holds token_ttl to at least ten seconds", () => {
    expect(() => load({ SPICEGATE_CONSOLEAUTH__TOKEN_TTL: "9" })).to.throw("consoleauth.token_ttl");
    expect(() => load({ SPICEGATE_CONSOLEAUTH__TOKEN_TTL: "0" })).to.throw("consoleauth.token_ttl");
    expect(load({ SPICEGATE_CONSOLEAUTH__TOKEN_TTL: "10" })).to.have.nested.property("consoleauth.token_ttl", 10);
  });

  it("refuses memcached servers that are not on this machine, or that their client could not reach", () => {
    const name = "SPICEGATE_CACHE__MEMCACHE_SERVERS";
    expect(() => load({ [name]: `["10.0.0.1:11211"]` })).to.throw("must be a loopback address");
    expect(() => load({ [name]: `["[::1]:11211"]` })).to.throw("must be an IPv4 address or localhost");
    const servers = ["127.0.0.1:11211", "localhost:11212"];
    expect(load({ [name]: JSON.stringify(servers) })).to.have.deep.nested.property("cache.memcache_servers", servers);
  });

  it("refuses Nova's bare host names as origins and says what to write", () => {
    const name = "SPICEGATE_CONSOLE__ALLOWED_ORIGINS";
    expect(() => load({ [name]: "[dashboard.example]" })).to.throw("write https://dashboard.example (or http://)");
    expect(() => load({ [name]: "['dashboard.example:8443']" })).to.throw("write https://dashboard.example:8443");
    expect(() => load({ [name]: "['https://dashboard.example/']" })).to.throw("without a path");
    load({ [name]: "['https://dashboard.example']" });
  });

  it("takes an idle time that leaves time to be warned, or none", () => {
    const name = "SPICEGATE_SESSIONS__IDLE_TIME";
    expect(() => load({ [name]: "9" })).to.throw("must be 0 or at least 10");
    for (const seconds of ["0", "10", "900"]) load({ [name]: seconds });
  });

  it("lets viewers open channels by the names of their types, main always among them", () => {
    const name = "SPICEGATE_CONSOLE__CHANNEL_TYPES";
    expect(() => load({ [name]: "[display, inputs]" })).to.throw("must name main");
    expect(() => load({ [name]: "[main, tunnel]" })).to.throw("console.channel_types");
    load({ [name]: "[main, usbredir]" });
    const names = Array.from({ length: 12 }, (_, type) => channelTypeName(type));
    expect(names).to.include.members([...CHANNEL_TYPES]);
  });

  it("lets nobody's devices and folders through by default, and shares a console", () => {
    const off = ["smartcard", "usbredir", "port", "webdav"];
    const on = CHANNEL_TYPES.filter((type) => !off.includes(type));
    expect(load({})).to.have.deep.nested.property("console.channel_types", on);
    expect(load({})).to.have.nested.property("sessions.second_viewer", "share");
    expect(load({})).to.have.nested.property("sessions.idle_time", 0);
  });

  it("says which password file cannot be read", () => {
    expect(() => load({ SPICEGATE_DATABASE__PASSWORD_FILE: "/missing" })).to.throw("database.password_file: ENOENT");
  });

  it("describes every setting", () => {
    for (const { name, description } of listSettings(controllerSchema)) expect(description, name).to.not.equal("");
  });
});
