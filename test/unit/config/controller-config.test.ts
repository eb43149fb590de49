// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { loadControllerConfig, controllerSchema } from "../../../src/config/controller-config.js";
import { listSettings } from "../../../src/config/load-config.js";

const load = (env: Record<string, string>): unknown => loadControllerConfig({ env });

describe("loadControllerConfig", () => {
  it("refuses every listener beyond loopback", () => {
    for (const name of ["SPICEGATE_API__LISTEN", "SPICEGATE_AGENTS__LISTEN", "SPICEGATE_TELEMETRY__LISTEN"]) {
      expect(() => load({ [name]: "0.0.0.0:1" }), name).to.throw("must be a loopback address");
    }
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

  it("says which password file cannot be read", () => {
    expect(() => load({ SPICEGATE_DATABASE__PASSWORD_FILE: "/missing" })).to.throw("database.password_file: ENOENT");
  });

  it("describes every setting", () => {
    for (const { name, description } of listSettings(controllerSchema)) expect(description, name).to.not.equal("");
  });
});
