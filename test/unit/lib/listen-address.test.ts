// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import {
  formatAddress,
  isLoopback,
  isWildcard,
  loopbackAddress,
  parseAddress,
} from "../../../src/lib/listen-address.js";

describe("parseAddress", () => {
  it("reads names, IPv4 and bracketed IPv6", () => {
    expect(parseAddress("localhost:1")).to.deep.equal({ host: "localhost", port: 1 });
    expect(parseAddress("127.0.0.1:50051")).to.deep.equal({ host: "127.0.0.1", port: 50_051 });
    expect(parseAddress("[::1]:0")).to.deep.equal({ host: "::1", port: 0 });
  });

  for (const text of ["", "localhost", ":1", "::1:1", "a b:1", "a:65536", "a:-1", "a:1x"]) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      expect(parseAddress(text)).to.equal(undefined);
    });
  }

  it("is undone by formatAddress", () => {
    for (const text of ["127.0.0.1:1", "[::1]:2", "localhost:3"]) {
      const address = parseAddress(text);
      expect(address && formatAddress(address)).to.equal(text);
    }
  });
});

describe("isLoopback", () => {
  it("knows the loopback ranges and nothing else", () => {
    for (const host of ["127.0.0.1", "127.9.9.9", "::1", "localhost"]) expect(isLoopback(host), host).to.equal(true);
    for (const host of ["0.0.0.0", "::", "10.0.0.1", "128.0.0.1", "example.org", "127.0.0.1.example.org"]) {
      expect(isLoopback(host), host).to.equal(false);
    }
  });
});

describe("isWildcard", () => {
  it("knows what stands for every address", () => {
    for (const text of ["0.0.0.0:1", "[::]:1", "0:1", "[0::0]:1"]) expect(isWildcard(text), text).to.equal(true);
    for (const text of ["10.0.0.0:1", "[::1]:1", "[fe80::]:1", "a.example:1", "::"]) {
      expect(isWildcard(text), text).to.equal(false);
    }
  });
});

describe("loopbackAddress", () => {
  it("says why an address beyond this machine is refused", () => {
    const result = loopbackAddress().safeParse("0.0.0.0:1");
    expect(result.error?.issues.map(({ message }) => message).join()).to.match(/without TLS/);
  });
});
