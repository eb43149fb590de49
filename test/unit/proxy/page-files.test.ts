// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { gunzipSync } from "node:zlib";
import { readPageFiles } from "../../../src/proxy/page-files.js";
import { PAGE, PageFolder, ProxyUnderTest, SESSION_ID } from "./proxy-harness.js";

const VIEWER = dirname(createRequire(import.meta.url).resolve("@spice-project/spice-html5/package.json"));

describe("readPageFiles", () => {
  it("finds the page, its files, and what the viewer imports", () => {
    using folder = new PageFolder();
    const { page, assets } = readPageFiles(folder.path);
    expect(page.body.toString()).to.equal(PAGE["index.html"]);
    const own = [...assets.keys()].filter((name) => !name.startsWith("spice-html5/"));
    expect(own).to.have.members(["page.js", "page.css", "icons/logo.svg"]);
    expect([...assets.keys()]).to.include.members(["spice-html5/main.js", "spice-html5/thirdparty/jsbn.js"]);
    for (const name of assets.keys()) expect(name).to.match(/^[\w-]+(\/[\w-]+)*\.\w+$/);
  });

  it("leaves the viewer's files as they are", () => {
    using folder = new PageFolder();
    const { assets } = readPageFiles(folder.path);
    const main = assets.get("spice-html5/main.js");
    expect(main!.body.equals(readFileSync(join(VIEWER, "src/main.js")))).to.equal(true);
    expect(gunzipSync(main!.gzipped!).equals(main!.body)).to.equal(true);
  });
});

describe("the page's addresses", () => {
  let proxy: ProxyUnderTest;

  before(async () => (proxy = await new ProxyUnderTest().start()));
  after(() => proxy.stop());

  it("show the same page before and in every session", async () => {
    for (const path of ["/console", "/console/", `/s/${SESSION_ID}/`, "/console?a=b"]) {
      const response = await proxy.fetch(path);
      expect(response.headers.get("content-type"), path).to.equal("text/html; charset=utf-8");
      expect(await response.text(), path).to.equal(PAGE["index.html"]);
    }
  });

  it("serve each file with its type, packed where that is taken", async () => {
    const types = {
      "page.js": "text/javascript; charset=utf-8",
      "page.css": "text/css; charset=utf-8",
      "icons/logo.svg": "image/svg+xml",
      "spice-html5/main.js": "text/javascript; charset=utf-8",
    };
    for (const [name, type] of Object.entries(types)) {
      expect((await proxy.fetch(`/assets/${name}`)).headers.get("content-type"), name).to.equal(type);
    }
    const encoding = async (accept: string): Promise<string | null> => {
      const response = await proxy.fetch("/assets/page.js", { headers: { "accept-encoding": accept } });
      expect(await response.text()).to.equal(PAGE["page.js"]);
      expect(response.headers.get("vary")).to.equal("accept-encoding");
      return response.headers.get("content-encoding");
    };
    expect(await encoding("br, GZIP;q=0.5")).to.equal("gzip");
    for (const accept of ["identity", "gzip;q=0", "gzip; q=0.00", "xgzip"])
      expect(await encoding(accept), accept).to.equal(null);
  });

  it("answer HEAD like GET without the body", async () => {
    const response = await proxy.fetch("/assets/page.css", { method: "HEAD" });
    expect([response.status, response.headers.get("content-length")]).to.deep.equal([
      200,
      String(PAGE["page.css"].length),
    ]);
    expect(await response.text()).to.equal("");
  });

  it("answer 304 to whoever has the file", async () => {
    const etag = (await proxy.fetch("/assets/page.js")).headers.get("etag")!;
    const ask = async (tag: string): Promise<number> =>
      (await proxy.fetch("/assets/page.js", { headers: { "if-none-match": tag } })).status;
    expect(await ask(etag)).to.equal(304);
    expect(await ask(`"x", ${etag.replace("W/", "")}`)).to.equal(304);
    expect(await ask('"x"')).to.equal(200);
  });

  it("lead nowhere else", async () => {
    const paths = [
      "/assets",
      "/assets/",
      "/assets/spice-html5/",
      "/assets/index.html",
      "/assets/page.d.ts",
      "/assets/../package.json",
      "/assets/..%2fpackage.json",
      "/assets/%2e%2e/package.json",
      "/assets/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
      "/assets/..\\package.json",
      "/assets/..%5cpackage.json",
      "/assets/page.js%00",
      "/assets/page.js%00.css",
      "/assets//page.js",
      "//assets/page.js",
      "/assets/./page.js",
      "/assets//etc/passwd",
      "/assets/spice-html5/../page.js",
      "/assets/spice-html5/../../package.json",
      "/assets/constructor",
      "/assets/__proto__",
      "/assets/spice-html5/thirdparty/browser-es-module-loader/dist/babel-worker.js",
    ];
    for (const path of paths) {
      const answer = await proxy.exchange(`GET ${path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`);
      expect(answer, path)
        .to.match(/^HTTP\/1.1 404 /)
        .and.to.include('"reason":"NOT_FOUND"');
    }
  });
});
