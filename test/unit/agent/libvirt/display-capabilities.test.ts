// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { readDisplayCapabilities } from "../../../../agent/libvirt/display-capabilities.js";

function capabilities(graphics: string): unknown {
  return readDisplayCapabilities(`<domainCapabilities><devices>${graphics}</devices></domainCapabilities>`);
}

function types(...values: string[]): string {
  const listed = values.map((value) => `<value>${value}</value>`).join("");
  return `<graphics supported='yes'><enum name='other'/><enum name='type'>${listed}</enum></graphics>`;
}

describe("readDisplayCapabilities", () => {
  it("finds the kinds that libvirt lists", () => {
    expect(capabilities(types("sdl", "vnc", "spice"))).to.deep.equal({ spice: true, vnc: true });
    expect(capabilities(types("vnc"))).to.deep.equal({ spice: false, vnc: true });
    expect(capabilities(types("sdl"))).to.deep.equal({ spice: false, vnc: false });
  });

  it("takes unsupported graphics for none", () => {
    expect(capabilities("<graphics supported='no'/>")).to.deep.equal({ spice: false, vnc: false });
  });

  it("counts as present what libvirt does not tell", () => {
    expect(capabilities("")).to.deep.equal({ spice: true, vnc: true });
    expect(capabilities("<graphics supported='yes'/>")).to.deep.equal({ spice: true, vnc: true });
    expect(readDisplayCapabilities("<domainCapabilities/>")).to.deep.equal({ spice: true, vnc: true });
  });
});
