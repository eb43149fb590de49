// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { channelUrl, sessionPath, tokenFromFragment } from "../../../src/page/address.js";

describe("the page's address", () => {
  it("gives the token of its fragment", () => {
    expect(tokenFromFragment("#token=a-B_9")).to.equal("a-B_9");
  });

  it("gives no token where there is none, or an empty one", () => {
    for (const fragment of ["", "#", "#token=", "#other=1"]) expect(tokenFromFragment(fragment)).to.equal(undefined);
  });

  it("names a session by its path", () => {
    expect(sessionPath("/s/a-B_9/")).to.equal("/s/a-B_9/");
  });

  it("names no session by any other path", () => {
    for (const path of ["/console", "/s/", "/s/a", "/s/a/b/", "/s/a%2f/", "/x/s/a/"]) {
      expect(sessionPath(path), path).to.equal(undefined);
    }
  });

  it("opens channels on its own origin, encrypted where the page is", () => {
    expect(channelUrl("http://h:6082", "/s/a/")).to.equal("ws://h:6082/s/a/channel");
    expect(channelUrl("https://h", "/s/a/")).to.equal("wss://h/s/a/channel");
  });
});
