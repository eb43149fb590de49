// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { accessUrl } from "../../../src/console/access-url.js";

describe("accessUrl", () => {
  it("puts the token into the fragment, which no server is sent", () => {
    const url = new URL(accessUrl("https://consoles.example/open", "a-_9", "fragment"));
    expect(url.hash).to.equal("#token=a-_9");
    expect(url.search).to.equal("");
    expect(url.pathname).to.equal("/open");
  });

  it("puts the token into the query for viewers made for Nova", () => {
    const url = accessUrl("https://consoles.example/spice_auto.html", "a-_9", "query");
    expect(url).to.equal("https://consoles.example/spice_auto.html?token=a-_9");
  });
});
