// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import fc from "fast-check";
import { OriginRule, parseOrigin } from "../../../src/proxy/origin-rule.js";

describe("OriginRule", () => {
  const rule = new OriginRule({ allowed: ["https://dashboard.example"], required: false });
  const own = { scheme: "http", host: "console.example:6082" };

  it("accepts its own origin and listed ones, and nothing near them", () => {
    const decisions: Record<string, boolean> = {
      "http://console.example:6082": true,
      "https://dashboard.example": true,
      "http://console.example": false,
      "http://console.example:6083": false,
      "https://console.example:6082": false,
      "http://other.example:6082": false,
      "http://console.example:6082.evil.example": false,
      "http://console.example:6082@evil.example": false,
      "https://dashboard.example:8443": false,
      "http://dashboard.example": false,
      "https://sub.dashboard.example": false,
      null: false,
      "": false,
      "http://console.example:6082/": false,
      "http://console.example:6082, https://dashboard.example": false,
    };
    for (const [origin, accepted] of Object.entries(decisions)) {
      expect(rule.allows(origin, own), origin).to.equal(accepted);
    }
  });

  it("takes a request without Origin for no browser, unless foreign pages may frame the console", () => {
    expect(rule.allows(undefined, own)).to.equal(true);
    const framed = new OriginRule({ allowed: [], required: true });
    expect(framed.allows(undefined, own)).to.equal(false);
    expect(framed.allows("http://console.example:6082", own)).to.equal(true);
  });

  it("compares without case and without the scheme's own port, names and IPv6 alike", () => {
    expect(rule.allows("http://console.example", { scheme: "http", host: "CONSOLE.example:80" })).to.equal(true);
    expect(rule.allows("https://[::1]", { scheme: "https", host: "[0:0::1]:443" })).to.equal(true);
    expect(rule.allows("https://[::1]", { scheme: "http", host: "[::1]:443" })).to.equal(false);
    expect(rule.allows("http://[::1]:6082", { scheme: "http", host: "[::2]:6082" })).to.equal(false);
  });

  it("is equal to nothing where the Host is missing or malformed", () => {
    for (const host of ["", "a b", "a/b", "a@b", "a#", "[::1", "a:99999", "null", "a\tb"]) {
      const accepted = rule.allows(`http://${host}`, { scheme: "http", host });
      expect(accepted, host).to.equal(host === "null");
    }
  });

  it("never throws, and accepts only what is written like the origin it accepts", () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (origin, host) => {
        if (rule.allows(origin, { scheme: "http", host }))
          expect(parseOrigin(origin)).to.equal(parseOrigin(`http://${host}`));
      }),
    );
    fc.assert(
      fc.property(fc.webUrl(), (url) => {
        const { origin, protocol, host } = new URL(url);
        expect(rule.allows(origin, { scheme: protocol.slice(0, -1), host })).to.equal(true);
      }),
    );
  });
});
