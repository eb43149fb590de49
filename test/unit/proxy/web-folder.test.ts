// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { createHash } from "node:crypto";
import { symlinkSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { MAX_WEB_BYTES, MAX_WEB_FILES } from "../../../src/lib/limits.js";
import { readWebFolder } from "../../../src/proxy/web-folder.js";
import { rejectionOf } from "../../harness/rejection.js";
import { FakeEntrance, PAGE, PageFolder, ProxyUnderTest } from "./proxy-harness.js";

const SCRIPT = "\n  let a = 1;\n";
const STOCK = {
  "spice_auto.html": `<script type="module">${SCRIPT.replaceAll("\n", "\r\n")}</script><p onclick="go()">x</p>`,
  "spice.css": "p{}",
  "src/main.js": "export {};",
  "thirdparty/sub/a-b_c.js": "1",
};
const OURS = new Set(["console", "s"]);

describe("readWebFolder", () => {
  it("finds the files below the folder that are for browsers", () => {
    const more = { "README.md": "x", ".hidden/x.js": "x", "a:b.js": "x", "a*.js": "x", "a b.js": "x", "..a.js": "x" };
    using folder = new PageFolder({ ...STOCK, ...more });
    expect([...readWebFolder(folder.path, OURS).keys()]).to.have.members(Object.keys(STOCK));
  });

  it("passes over what is at an address of our own, and links", () => {
    using folder = new PageFolder({ ...STOCK, "s/x.js": "x", "console/x.js": "x", "console.js": "x" });
    symlinkSync("/etc/passwd", join(folder.path, "passwd.txt"));
    symlinkSync("/etc", join(folder.path, "etc"));
    const names = [...readWebFolder(folder.path, OURS).keys()];
    expect(names).to.have.members([...Object.keys(STOCK), "console.js"]);
  });

  it("says what to install where the page is not there", () => {
    using folder = new PageFolder({ "spice.css": "p{}" });
    for (const path of [folder.path, join(folder.path, "nowhere"), join(folder.path, "spice.css")]) {
      expect(() => readWebFolder(path, OURS), path).to.throw(/proxy\.web: .* install the Debian package spice-html5/);
    }
  });

  it("refuses a folder that is more than a page", () => {
    const many = Object.fromEntries(Array.from({ length: MAX_WEB_FILES }, (_, at) => [`f${at}.js`, ""]));
    using crowded = new PageFolder({ ...STOCK, ...many });
    expect(() => readWebFolder(crowded.path, OURS)).to.throw(/more than 1000 files/);
    using large = new PageFolder(STOCK);
    truncateSync(join(large.path, "spice.css"), MAX_WEB_BYTES);
    expect(() => readWebFolder(large.path, OURS)).to.throw(/at most/);
  });
});

describe("the addresses of proxy.web", () => {
  let web: PageFolder;
  let proxy: ProxyUnderTest;

  const proxyOver = (path: string): ProxyUnderTest =>
    new ProxyUnderTest({ compat: { entrance: new FakeEntrance(), web: path }, frameAncestors: ["https://d.example"] });

  before(async () => {
    web = new PageFolder({ ...STOCK, "console.html": "x", "assets/page.js": "planted", "healthz/a.js": "x" });
    proxy = await proxyOver(web.path).start();
  });
  after(async () => {
    await proxy.stop();
    web[Symbol.dispose]();
  });

  it("begin with its index where it has one, else with our page", async () => {
    expect((await proxy.fetch("/")).headers.get("location")).to.equal("/console");
    using indexed = new PageFolder({ ...STOCK, "index.html": "x" });
    const other = await proxyOver(indexed.path).start();
    try {
      expect((await other.fetch("/")).headers.get("location")).to.equal("/index.html");
    } finally {
      await other.stop();
    }
  });

  it("serve each file as it is, whatever the query says", async () => {
    for (const [name, text] of Object.entries(STOCK)) {
      for (const query of ["", "?token=a&title=b"]) {
        const response = await proxy.fetch(`/${name}${query}`);
        expect([response.status, await response.text()], name).to.deep.equal([200, text]);
        // An address with a token is kept nowhere, and told to nobody.
        expect(response.headers.get("cache-control")).to.equal(name.endsWith(".html") ? "no-store" : "max-age=300");
        expect(response.headers.get("referrer-policy")).to.equal("no-referrer");
      }
    }
    const { headers } = await proxy.fetch("/spice_auto.html", { method: "HEAD" });
    expect(headers.get("content-type")).to.equal("text/html; charset=utf-8");
    expect((await proxy.fetch("/spice_auto.html", { method: "POST" })).status).to.equal(405);
  });

  it("leave our own as they are", async () => {
    expect(await (await proxy.fetch("/assets/page.js")).text()).to.equal(PAGE["page.js"]);
    expect(await (await proxy.fetch("/console")).text()).to.equal(PAGE["index.html"]);
    expect(await (await proxy.fetch("/healthz")).text()).to.equal("ok\n");
    expect((await proxy.fetch("/healthz/a.js")).status).to.equal(404);
  });

  it("let the scripts of the page run by their hashes, and nothing else that stands in it", async () => {
    const policyAt = async (path: string): Promise<string[]> =>
      ((await proxy.fetch(path)).headers.get("content-security-policy") ?? "").split("; ");
    const hashOf = (text: string): string => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
    const strict = await policyAt("/console");
    const loose = await policyAt("/spice_auto.html");
    expect(loose.filter((directive) => !strict.includes(directive))).to.deep.equal([
      `script-src 'self' 'unsafe-hashes' ${hashOf(SCRIPT)} ${hashOf("go()")}`,
      "style-src 'self' 'unsafe-inline'",
    ]);
    expect(loose).to.include("frame-ancestors 'self' https://d.example");
    expect(strict).to.include("script-src 'self'").and.to.include("style-src 'self'");
    expect(await policyAt("/src/main.js")).to.deep.equal(strict);
    expect(await policyAt("/nowhere")).to.deep.equal(strict);
  });

  it("lead nowhere else, and list nothing", async () => {
    const paths = [
      "/src",
      "/src/",
      "/thirdparty/sub/",
      "//spice_auto.html",
      "//evil.example",
      "//evil.example/..",
      "//evil.example/%2f..",
      "/./spice_auto.html",
      "/../spice_auto.html",
      "/src/../spice.css",
      "/src/..%2fspice.css",
      "/%2e%2e/etc/passwd",
      "/..%2f..%2fetc%2fpasswd",
      "/..%5cspice.css",
      "/spice.css%00",
      "/spice_auto.html/",
      "/SPICE.CSS",
      "/constructor",
      "/__proto__",
    ];
    for (const path of paths) {
      const answer = await proxy.exchange(`GET ${path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`);
      expect(answer, path).to.match(/^HTTP\/1.1 404 /);
      expect(answer, path).not.to.match(/\nlocation:/i);
    }
  });

  it("keep the proxy from starting where the page is not there", async () => {
    using empty = new PageFolder({});
    const unstarted = proxyOver(empty.path);
    expect((await rejectionOf(unstarted.server.start())).message).to.include("install the Debian package spice-html5");
    await unstarted.stop();
  });
});
