// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { accessUrl } from "../../../src/console/access-url.js";

describe("accessUrl", () => {
  it("puts the token into the fragment, which no server is sent", () => {
    const url = new URL(accessUrl({ baseUrl: "https://consoles.example/open", tokenIn: "fragment" }, "a-_9"));
    expect(url.hash).to.equal("#token=a-_9");
    expect(url.search).to.equal("");
    expect(url.pathname).to.equal("/open");
  });

  it("puts it into the query for those who read it there", () => {
    const url = accessUrl({ baseUrl: "https://consoles.example/nova", tokenIn: "query" }, "a-_9");
    expect(url).to.equal("https://consoles.example/nova?token=a-_9");
  });
});
