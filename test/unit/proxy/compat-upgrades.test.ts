// SPDX-License-Identifier: Apache-2.0
// Viewers made for Nova's proxy at the door: which upgrades are theirs, and which pages may send them.
import { expect } from "chai";
import { until } from "../../harness/within.js";
import { MAX_UPGRADES_UNDER_WAY } from "../../../src/lib/limits.js";
import type { ProxyServerOptions } from "../../../src/proxy/proxy-server.js";
import { FakeEntrance, PageFolder, ProxyUnderTest, SESSION_ID } from "./proxy-harness.js";

const NATIVE = `/s/${SESSION_ID}/channel`;
const COMPAT = "/websockify?token=good";

describe("Upgrades with a token", () => {
  let entrance: FakeEntrance;
  let web: PageFolder;
  let proxy: ProxyUnderTest;
  const others: ProxyUnderTest[] = [];

  const proxyWith = async (options: Partial<ProxyServerOptions>): Promise<ProxyUnderTest> => {
    const other = new ProxyUnderTest({ compat: { entrance, web: web.path }, ...options });
    others.push(other);
    return other.start();
  };

  beforeEach(async () => {
    entrance = new FakeEntrance();
    web = new PageFolder({ "spice_auto.html": "<p>" });
    proxy = await proxyWith({});
  });
  afterEach(async () => {
    await Promise.all(others.splice(0).map((one) => one.stop()));
    web[Symbol.dispose]();
  });

  it("are let in at any path outside the sessions'", async () => {
    for (const path of [
      "/",
      "/websockify",
      "/spice_auto.html",
      "/console",
      "/a/b/c",
      "//evil.example",
      "/s",
      "/status",
    ]) {
      expect(await proxy.upgradeAnswer({}, `${path}?token=good`), path).to.equal("101");
    }
    expect(entrance.entered).to.have.length(8);
    expect(proxy.accepted).to.have.length(8);
  });

  it("are not let in below the sessions' path, nor at what is no path", async () => {
    for (const path of [`${NATIVE}?token=good`, "/s/?token=good", "/s/x/channel?token=good", "http://x/?token=good"]) {
      expect(await proxy.upgradeAnswer({}, path), path).to.equal("404 NOT_FOUND");
    }
    expect(await proxy.upgradeAnswer({}, NATIVE)).to.equal("101");
    expect(entrance.entered).to.deep.equal([]);
  });

  it("meet no one where the compatibility mode is off", async () => {
    const off = await proxyWith({ compat: undefined });
    expect(await off.upgradeAnswer({}, COMPAT)).to.equal("404 NOT_FOUND");
    expect((await off.fetch("/spice_auto.html")).status).to.equal(404);
  });

  it("bring the token in the query or in a cookie; the query wins", async () => {
    const forms: [path: string, cookie: string | undefined, answer: string][] = [
      ["/?token=good", undefined, "101"],
      ["/websockify", "token=good", "101"],
      ["/?token=good", "token=bad", "101"],
      ["/?token=bad", "token=good", "401 TOKEN_INVALID"],
      ["/?token=", "{malformed; ;=; token=good", "101"],
      ["/", undefined, "401 TOKEN_INVALID"],
    ];
    for (const [path, cookie, answer] of forms) {
      expect(await proxy.upgradeAnswer({ cookie }, path), `${path} ${cookie}`).to.equal(answer);
    }
  });

  it("speak WebSocket and binary like the others", async () => {
    for (const headers of [
      { "sec-websocket-protocol": "chat" },
      { "sec-websocket-version": "8" },
      { upgrade: "h2c" },
    ]) {
      expect(await proxy.upgradeAnswer(headers, COMPAT)).to.equal("400 INVALID_ARGUMENT");
    }
    expect(await proxy.upgradeAnswer({ "sec-websocket-protocol": undefined }, COMPAT)).to.equal("101");
    expect(entrance.entered).to.have.length(1);
  });

  it("leave neither token nor path in the log and the metrics", async () => {
    await proxy.upgradeAnswer({ cookie: "token=c-secret" }, "/p-secret?token=good&token=q-secret");
    await proxy.fetch("/spice_auto.html?token=q-secret");
    const lines = (): unknown[] => [...proxy.log.at("debug"), ...proxy.log.at("info")];
    await until("the lines", () => JSON.stringify(lines()).includes("/{file}"));
    const all = JSON.stringify(lines()) + (await proxy.registry.metrics());
    expect(all).to.include("/{path}?token={token}").and.to.include("/{file}");
    expect(all).not.to.include("secret");
  });

  it("are refused with the others while too many are under way", async () => {
    let opened = (): void => undefined;
    const gate = new Promise<void>((resolve) => (opened = resolve));
    proxy.viewers.open = () => gate;
    const sockets = Array.from({ length: MAX_UPGRADES_UNDER_WAY }, () => proxy.connect());
    for (const socket of sockets) socket.write(proxy.upgrade());
    await until("all of them", () => proxy.viewers.contexts.length === MAX_UPGRADES_UNDER_WAY);
    expect(await proxy.upgradeAnswer({}, COMPAT)).to.equal("429 LIMITED");
    expect(proxy.refused).to.deep.equal([["LIMITED", undefined]]);
    opened();
    for (const socket of sockets) socket.destroy();
  });

  for (const [mode, path] of [
    ["natively", NATIVE],
    ["with a token", COMPAT],
  ] as const) {
    describe(`and the Origin of whoever comes ${mode}`, () => {
      it("is none, our own, a listed one, or refused", async () => {
        const { port } = proxy.server;
        const listing = await proxyWith({ allowedOrigins: ["https://dashboard.example"] });
        const host = "[::1]:6082";
        const matrix: [ProxyUnderTest, Record<string, string | undefined>, string][] = [
          [proxy, { origin: undefined }, "101"],
          [proxy, { origin: proxy.origin }, "101"],
          [proxy, { origin: "http://other.example" }, "403 ORIGIN_REFUSED"],
          // Nova compares hosts alone; here another port or scheme is another page.
          [proxy, { origin: `http://127.0.0.1:${port === 1 ? 2 : 1}` }, "403 ORIGIN_REFUSED"],
          [proxy, { origin: `https://127.0.0.1:${port}` }, "403 ORIGIN_REFUSED"],
          [proxy, { origin: `ws://127.0.0.1:${port}` }, "403 ORIGIN_REFUSED"],
          [proxy, { origin: "null" }, "403 ORIGIN_REFUSED"],
          [listing, { origin: "https://dashboard.example" }, "101"],
          [listing, { origin: "http://dashboard.example" }, "403 ORIGIN_REFUSED"],
          [proxy, { host, origin: `http://${host}` }, "101"],
          [proxy, { host, origin: "http://[0:0::1]:6082" }, "101"],
          [proxy, { host, origin: "http://[::1]:6083" }, "403 ORIGIN_REFUSED"],
          [proxy, { host, origin: "http://[::2]:6082" }, "403 ORIGIN_REFUSED"],
        ];
        for (const [on, headers, answer] of matrix) {
          expect(await on.upgradeAnswer(headers, path), JSON.stringify(headers)).to.equal(answer);
        }
        expect(proxy.refused).to.have.length(7);
      });

      it("is on the scheme that a trusted balancer says, and no other peer", async () => {
        const behind = await proxyWith({ trustedProxies: ["127.0.0.0/8"] });
        const host = "console.example";
        const matrix: [ProxyUnderTest, proto: string | undefined, origin: string, answer: string][] = [
          [behind, "https", "https://console.example", "101"],
          [behind, "https", "http://console.example", "403 ORIGIN_REFUSED"],
          [behind, "http", "http://console.example", "101"],
          [behind, undefined, "https://console.example", "403 ORIGIN_REFUSED"],
          [proxy, "https", "https://console.example", "403 ORIGIN_REFUSED"],
          [proxy, "https", "http://console.example", "101"],
        ];
        for (const [on, proto, origin, answer] of matrix) {
          const headers = { host, origin, "x-forwarded-proto": proto };
          expect(await on.upgradeAnswer(headers, path), JSON.stringify(headers)).to.equal(answer);
        }
      });
    });
  }

  it("tell the use case the scheme of their page, and none where there is none", async () => {
    const behind = await proxyWith({ trustedProxies: ["127.0.0.0/8"] });
    const https = { host: "c.example", origin: "https://c.example", "x-forwarded-proto": "https" };
    await behind.upgradeAnswer(https, COMPAT);
    await proxy.upgradeAnswer({}, COMPAT);
    await proxy.upgradeAnswer({ origin: undefined }, COMPAT);
    expect(entrance.entered.map(({ origin }) => origin)).to.deep.equal(["https", "http", undefined]);
    expect(entrance.contexts[0]).to.include({ clientAddress: "127.0.0.1" });
  });
});
