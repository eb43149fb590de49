// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadControllerConfig } from "../../../src/config/controller-config.js";
import { ConfigError } from "../../../src/config/load-config.js";
import type { KeystoneSettings } from "../../../src/config/keystone-settings.js";
import { TestAuthority } from "../../harness/certificates.js";

describe("settings about Keystone", () => {
  const folder = mkdtempSync(join(tmpdir(), "keystone-settings-"));
  const authority = new TestAuthority();
  const passwordFile = join(folder, "password");
  writeFileSync(passwordFile, "open-sesame\n");
  after(() => {
    rmSync(folder, { recursive: true });
    authority.remove();
  });

  function load(settings: Readonly<Record<string, string>>): KeystoneSettings | undefined {
    const entries = Object.entries(settings).map(([name, value]) => [`SPICEGATE_IDENTITY__KEYSTONE_${name}`, value]);
    return loadControllerConfig({ env: Object.fromEntries(entries) as Record<string, string> }).identity.keystone;
  }

  const USER = { USERNAME: "spicegate", PASSWORD_FILE: passwordFile };
  const withUrl = (url: string, more: Readonly<Record<string, string>> = {}): KeystoneSettings | undefined =>
    load({ URL: url, ...USER, ...more });

  it("are not needed", () => {
    expect(load({})).to.equal(undefined);
  });

  it("have the usual domain and project, and the password from its file", () => {
    expect(withUrl("https://keystone.example:5000")).to.deep.equal({
      url: "https://keystone.example:5000",
      publicUrl: "https://keystone.example:5000",
      ca: undefined,
      inTheClear: false,
      user: {
        username: "spicegate",
        password: "open-sesame",
        userDomain: "Default",
        project: "service",
        projectDomain: "Default",
      },
      roles: { admin: "admin", member: "member", _member_: "member", reader: "reader" },
      cacheSeconds: 60,
    });
  });

  it("say what is wrong with an address that is none", () => {
    for (const url of ["127.0.0.1:5000", "keystone", "http://["]) {
      expect(() => withUrl(url), url).to.throw(ConfigError, "must be an http or https URL");
    }
  });

  it("take the address with and without its version", () => {
    for (const end of ["", "/", "/v3", "/v3/"]) {
      expect(withUrl(`https://keystone.example/identity${end}`)?.url, end).to.equal(
        "https://keystone.example/identity",
      );
    }
  });

  it("are told as a problem of the settings where the address is none", () => {
    for (const url of ["127.0.0.1:5000", "keystone", "http://", "https://a b"]) {
      expect(() => withUrl(url), url).to.throw(ConfigError, /identity.keystone_url: must be an http or https URL/);
    }
  });

  it("tell clients another address where there is one", () => {
    const more = { PUBLIC_URL: "https://public.example/v3" };
    expect(withUrl("https://internal.example", more)?.publicUrl).to.equal("https://public.example/v3");
  });

  it("refuse plain http beyond this machine unless it is allowed by name", () => {
    for (const url of ["http://127.0.0.1:5000", "http://[::1]:5000", "http://localhost/identity"]) {
      expect(withUrl(url)?.inTheClear, url).to.equal(false);
    }
    const far = "http://keystone.example:5000";
    expect(() => withUrl(far)).to.throw("identity.keystone_url: must be https beyond this machine");
    expect(withUrl(far, { INSECURE: "true" })?.inTheClear).to.equal(true);
  });

  it("refuse what is no plain address, and what would break a header", () => {
    for (const url of [
      "keystone:5000",
      "ftp://x",
      "https://a:b@x",
      "https://x?a",
      "https://x#a",
      'https://x/"',
      "https://ä",
    ]) {
      expect(() => withUrl(url), url).to.throw("identity.keystone_url: must be an http or https URL");
      expect(() => withUrl("https://x", { PUBLIC_URL: url }), url).to.throw("identity.keystone_public_url: must be");
    }
  });

  it("need each other", () => {
    expect(() => load({ URL: "https://x" }))
      .to.throw("identity.keystone_username: must be set where identity.keystone_url is")
      .with.property("message")
      .that.contains("identity.keystone_password_file: must be set");
    expect(() => load(USER)).to.throw("identity.keystone_username: needs identity.keystone_url");
  });

  it("say what is wrong with their files before anything starts", () => {
    const empty = join(folder, "empty");
    writeFileSync(empty, "\n");
    expect(() => withUrl("https://x", { PASSWORD_FILE: empty })).to.throw("holds no password");
    expect(() => withUrl("https://x", { PASSWORD_FILE: "/missing" })).to.throw(
      "identity.keystone_password_file: ENOENT",
    );
    expect(() => withUrl("https://x", { CA_FILE: passwordFile })).to.throw("identity.keystone_ca_file: ");
    expect(withUrl("https://x", { CA_FILE: authority.certFile })?.ca).to.equal(authority.cert);
  });

  it("know our roles only", () => {
    expect(withUrl("https://x", { ROLES: "{ support: auditor }" })?.roles).to.deep.equal({ support: "auditor" });
    expect(() => withUrl("https://x", { ROLES: "{ support: king }" })).to.throw("identity.keystone_roles.support");
  });
});
