// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import fc from "fast-check";
import { isIP } from "node:net";
import { isHost, TrustedProxies } from "../../../src/http/trusted-proxies.js";

const BALANCER = { address: "10.0.0.1", scheme: "http" } as const;

describe("TrustedProxies", () => {
  const proxies = new TrustedProxies(["10.0.0.0/8", "192.0.2.1", "2001:db8::/32"]);
  const headers = {
    host: "inner:6082",
    "x-forwarded-for": "203.0.113.9",
    "x-forwarded-proto": "https",
    "x-forwarded-host": "console.example",
  };

  it("believes a configured balancer", () => {
    const seen = { clientAddress: "203.0.113.9", scheme: "https", host: "console.example", direct: false };
    for (const peer of ["10.1.2.3", "192.0.2.1", "::ffff:10.1.2.3", "2001:db8::7"]) {
      expect(proxies.read({ address: peer, scheme: "http" }, headers), peer).to.deep.equal(seen);
    }
  });

  it("ignores the headers of anybody else", () => {
    for (const peer of ["192.0.2.2", "2001:db9::1", "127.0.0.1"]) {
      expect(proxies.read({ address: peer, scheme: "http" }, headers), peer).to.deep.equal({
        clientAddress: peer,
        scheme: "http",
        host: "inner:6082",
        direct: false,
      });
    }
    expect(proxies.read({ address: undefined, scheme: "http" }, headers).clientAddress).to.equal("");
    expect(new TrustedProxies([]).read({ address: "10.1.2.3", scheme: "http" }, headers).host).to.equal("inner:6082");
  });

  it("takes a request for direct that no balancer has brought, and none has left a header in", () => {
    const direct = (address: string, more: Record<string, string>): boolean =>
      proxies.read({ address, scheme: "http" }, { host: "inner", ...more }).direct;
    expect(direct("192.0.2.2", {})).to.equal(true);
    expect(direct("10.0.0.1", {})).to.equal(false);
    for (const name of ["x-forwarded-for", "x-forwarded-host", "x-real-ip", "forwarded", "via"]) {
      expect(direct("192.0.2.2", { [name]: "" }), name).to.equal(false);
    }
  });

  it("takes the rightmost address that is no proxy, since all before it may be invented", () => {
    const client = (list: string): string => proxies.read(BALANCER, { "x-forwarded-for": list }).clientAddress;
    expect(client("1.1.1.1, 203.0.113.9, 10.0.0.2")).to.equal("203.0.113.9");
    expect(client("10.0.0.3,10.0.0.2")).to.equal("10.0.0.3");
    expect(client("203.0.113.9:4711")).to.equal("203.0.113.9");
    expect(client("[2001:db9::5]:4711, ::ffff:10.0.0.2")).to.equal("2001:db9::5");
  });

  it("stops at a malformed address", () => {
    const client = (list: string): string => proxies.read(BALANCER, { "x-forwarded-for": list }).clientAddress;
    for (const list of ["", "unknown", "203.0.113.9, ", "203.0.113.9, x", "fe80::1%eth0", "1.2.3"]) {
      expect(client(list), list).to.equal("10.0.0.1");
    }
    expect(client("203.0.113.9, x, 10.0.0.2")).to.equal("10.0.0.2");
  });

  it("believes the nearest proxy's scheme and host, and no malformed ones", () => {
    const read = (more: Record<string, string>) => proxies.read(BALANCER, { host: "inner", ...more });
    expect(read({ "x-forwarded-proto": "http, HTTPS" }).scheme).to.equal("https");
    expect(read({ "x-forwarded-proto": "https, http" }).scheme).to.equal("http");
    expect(read({ "x-forwarded-proto": "javascript" }).scheme).to.equal("http");
    expect(read({ "x-forwarded-host": "evil.example, console.example" }).host).to.equal("console.example");
    expect(read({ "x-forwarded-host": "console.example/path" }).host).to.equal("inner");
    expect(read({}).host).to.equal("inner");
  });

  it("takes the connection's own scheme where no balancer says another", () => {
    const read = (address: string, proto: Record<string, string>): string =>
      proxies.read({ address, scheme: "https" }, proto).scheme;
    expect(read("192.0.2.2", { "x-forwarded-proto": "http" })).to.equal("https");
    expect(read("10.0.0.1", {})).to.equal("https");
    expect(read("10.0.0.1", { "x-forwarded-proto": "javascript" })).to.equal("https");
    expect(read("10.0.0.1", { "x-forwarded-proto": "http" })).to.equal("http");
  });

  it("gives an address or nothing, whatever the headers say", () => {
    const text = fc.oneof(
      fc.string(),
      fc.ipV6(),
      fc.array(fc.oneof(fc.ipV4(), fc.string())).map((list) => list.join(",")),
    );
    fc.assert(
      fc.property(text, text, text, (forwardedFor, proto, host) => {
        const seen = proxies.read(BALANCER, {
          "x-forwarded-for": forwardedFor,
          "x-forwarded-proto": proto,
          "x-forwarded-host": host,
        });
        expect(isIP(seen.clientAddress)).to.not.equal(0);
      }),
    );
  });
});

describe("isHost", () => {
  it("knows a host from an address in disguise", () => {
    for (const host of ["a", "a.b-c:1", "10.0.0.1:80", "[::1]", "[2001:db8::1]:8080"])
      expect(isHost(host), host).to.equal(true);
    for (const host of ["", ":80", "a:", "a:b", "a/b", "::1", "[::1", "a,b", " a", "a\n"])
      expect(isHost(host), host).to.equal(false);
  });
});
