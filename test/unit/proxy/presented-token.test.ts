// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import fc from "fast-check";
import { readToken } from "../../../src/proxy/presented-token.js";

const read = (url: string, cookie?: string): string =>
  readToken({ url, headers: cookie === undefined ? {} : { cookie } });

describe("readToken", () => {
  it("takes the last one of the query that is not empty", () => {
    const tokens: Record<string, string> = {
      "/websockify?token=a": "a",
      "/?token=a&token=b": "b",
      "/?token=a&token=": "a",
      "/?x=1&token=a&y=2": "a",
      "/?token=a%2Db": "a-b",
      "/?a?token=b": "",
      "/?TOKEN=a": "",
      "/?token": "",
      "/token=a": "",
      "/": "",
      "": "",
    };
    for (const [url, token] of Object.entries(tokens)) expect(read(url), url).to.equal(token);
  });

  it("takes the cookie where the query has none or an empty one", () => {
    expect(read("/websockify", "token=c")).to.equal("c");
    expect(read("/?token=", "token=c")).to.equal("c");
    expect(read("/?token=a", "token=c")).to.equal("a");
  });

  it("reads each cookie for itself, and passes over malformed ones", () => {
    const cookies: Record<string, string> = {
      "a=b; token=c": "c",
      "token=c; a=b": "c",
      "a, b; ;; =x; token=c; {bad": "c",
      "token; token=c": "c",
      "token=c; token=d": "d",
      'token="c"': "c",
      "xtoken=c": "",
      "Token=c": "",
      "token=a=b": "a=b",
      "": "",
    };
    for (const [cookie, token] of Object.entries(cookies)) expect(read("/", cookie), cookie).to.equal(token);
  });

  it("never throws", () => {
    fc.assert(fc.property(fc.string(), fc.string(), (url, cookie) => typeof read(url, cookie) === "string"));
  });
});
