// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { isThisMachine, networkOf } from "../../../src/lib/network-of.js";

describe("networkOf", () => {
  it("is the address itself for IPv4, mapped into IPv6 or not", () => {
    for (const address of ["192.0.2.1", "::ffff:192.0.2.1", "::FFFF:192.0.2.1"]) {
      expect(networkOf(address), address).to.equal("192.0.2.1");
    }
  });

  it("is the /64 for IPv6, however it is written", () => {
    const ways = [
      "2001:db8::1",
      "2001:DB8:0:0:ffff:1:2:3",
      "2001:0db8:0000:0000::2%eth0",
      "2001:db8:0:0:1:2:192.0.2.1",
      "2001:db8::",
    ];
    for (const address of ways) expect(networkOf(address), address).to.equal("2001:db8:0:0::/64");
  });

  it("tells networks apart", () => {
    expect(networkOf("2001:db8:0:1::1")).to.equal("2001:db8:0:1::/64");
    expect(networkOf("fe80::1")).to.equal("fe80:0:0:0::/64");
    expect(networkOf("::2")).to.equal("0:0:0:0::/64");
    expect(networkOf("1::2:3:4:5:6:7")).to.equal("1:0:2:3::/64");
  });

  it("leaves what is no address as it is", () => {
    expect(networkOf("")).to.equal("");
    expect(networkOf("somewhere")).to.equal("somewhere");
  });
});

describe("isThisMachine", () => {
  it("is true for loopback however a socket names it, and where there is no address", () => {
    for (const address of ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", ""]) {
      expect(isThisMachine(address), address).to.equal(true);
    }
    for (const address of ["192.0.2.127", "::2", "2001:db8::1", "::ffff:192.0.2.1"]) {
      expect(isThisMachine(address), address).to.equal(false);
    }
  });
});
