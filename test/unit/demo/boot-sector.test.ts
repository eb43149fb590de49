// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { bannerLines, bootSector } from "../../../demo/boot-sector.js";

describe("bootSector", () => {
  it("is one sector that a BIOS boots", () => {
    const sector = bootSector("demo");
    expect(sector).to.have.length(512);
    expect(sector.subarray(510)).to.deep.equal(Buffer.from([0x55, 0xaa]));
  });

  it("holds the banner with the machine's name where its code looks for it", () => {
    const sector = bootSector("demo-tcp");
    const banner = `${bannerLines("demo-tcp").join("\r\n")}\r\n\0`;
    const at = sector.indexOf(banner);
    expect(at, "the banner is there").to.be.greaterThan(0);
    // mov si, banner
    const load = Buffer.from([0xbe, (0x7c00 + at) & 0xff, (0x7c00 + at) >> 8]);
    expect(sector.indexOf(load), "its address is loaded").to.be.within(1, at);
  });

  it("bounds the longest name and prints commands to the BIOS as question marks", () => {
    expect(bootSector("x".repeat(10_000))).to.have.length(512);
    expect(bannerLines("x".repeat(65))[0]).to.match(/: x{64}$/);
    expect(bannerLines("a\u0007\nbé\u{1f600}c")[0]).to.match(/: a\?\?b\?\?c$/);
  });
});
