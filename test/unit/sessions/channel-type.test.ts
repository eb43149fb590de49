// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { channelTypeName } from "../../../src/sessions/channel-type.js";

describe("channelTypeName", () => {
  it("has a name for SPICE's types and one for all others, however many a viewer invents", () => {
    expect(channelTypeName(1)).to.equal("main");
    expect(channelTypeName(11)).to.equal("webdav");
    for (const type of [undefined, 0, 12, 255, -1]) expect(channelTypeName(type)).to.equal("unknown");
  });
});
