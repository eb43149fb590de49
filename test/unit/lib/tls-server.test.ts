// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { request } from "node:https";
import type { Socket } from "node:net";
import { join } from "node:path";
import type { ConnectionOptions, TLSSocket } from "node:tls";
import { connect as connectTls } from "node:tls";
import { Registry } from "prom-client";
import type { ServerTls } from "../../../src/lib/tls-server.js";
import { MAX_TLS_HANDSHAKES, FILES_INTERVAL_MS } from "../../../src/lib/limits.js";
import { TlsFiles } from "../../../src/lib/tls-files.js";
import { createControllerMetrics } from "../../../src/telemetry/controller-metrics.js";
import { FakeClock } from "../../fakes/fake-clock.js";
import { FakeLog } from "../../fakes/fake-log.js";
import type { TestCertificate } from "../../harness/certificates.js";
import { TestAuthority } from "../../harness/certificates.js";
import { rejectionOf } from "../../harness/rejection.js";
import { until, within } from "../../harness/within.js";
import { firstBytes, ProxyUnderTest, received } from "../proxy/proxy-harness.js";

const ASK = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";

describe("the proxy with TLS", () => {
  const authority = new TestAuthority();
  const names = { cert: join(authority.folder, "live.pem"), key: join(authority.folder, "live.key") };
  let clock: FakeClock;
  let log: FakeLog;
  let files: TlsFiles;
  let proxy: ProxyUnderTest;
  let sockets: Socket[];

  after(() => authority.remove());

  beforeEach(async () => {
    sockets = [];
    clock = new FakeClock();
    write(authority.issue({ subject: "/CN=first" }));
    log = new FakeLog();
    files = new TlsFiles({
      name: "proxy",
      files: names,
      metrics: createControllerMetrics(new Registry()),
      log: log.log,
      clock,
    });
    files.start();
    proxy = await start();
  });

  afterEach(async () => {
    for (const socket of sockets) socket.destroy();
    await proxy.stop();
    await files.stop();
  });

  function start(more: Partial<ServerTls> = {}): Promise<ProxyUnderTest> {
    return new ProxyUnderTest({ tls: { files, log: log.log, ...more } }).start();
  }

  function write({ cert, key }: TestCertificate): void {
    writeFileSync(names.cert, cert);
    writeFileSync(names.key, key);
  }

  /** A client that trusts the authority. */
  async function dial(options: ConnectionOptions = {}): Promise<TLSSocket> {
    const socket = connectTls({ port: proxy.server.port, host: "127.0.0.1", ca: authority.cert, ...options });
    sockets.push(socket.on("error", () => undefined));
    await once(socket, "secureConnect");
    return socket;
  }

  const plain = (): Socket => {
    const socket = proxy.connect();
    sockets.push(socket);
    return socket;
  };
  const shown = (socket: TLSSocket): string | undefined => socket.getPeerX509Certificate()?.subject;

  async function answers(socket: Socket): Promise<void> {
    socket.write(ASK);
    expect(await within("an answer", firstBytes(socket))).to.match(/^HTTP\/1.1 200 /);
  }

  it("answers over TLS 1.2 and later, and nothing older", async () => {
    for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
      const socket = await dial({ minVersion: version, maxVersion: version });
      expect(socket.getProtocol()).to.equal(version);
      await answers(socket);
    }
    // Security level 0: else OpenSSL would not even ask for it.
    const old = { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" } as const;
    expect((await rejectionOf(dial(old))).message).to.include("alert protocol version");
  });

  it("takes only what the settings allow", async () => {
    await proxy.stop();
    proxy = await start({ minVersion: "TLSv1.3" });
    expect((await rejectionOf(dial({ maxVersion: "TLSv1.2" }))).message).to.include("alert protocol version");
    await proxy.stop();
    proxy = await start({ ciphers: "ECDHE-ECDSA-AES256-GCM-SHA384" });
    const socket = await dial({ maxVersion: "TLSv1.2" });
    expect(socket.getCipher().name).to.equal("ECDHE-ECDSA-AES256-GCM-SHA384");
    const other = { maxVersion: "TLSv1.2", ciphers: "ECDHE-ECDSA-AES128-GCM-SHA256" } as const;
    expect((await rejectionOf(dial(other))).message).to.include("alert handshake failure");
  });

  it("speaks HTTP/1.1 and says so; a client of HTTP/2 alone is refused", async () => {
    const socket = await dial({ ALPNProtocols: ["h2", "http/1.1"] });
    expect(socket.alpnProtocol).to.equal("http/1.1");
    expect((await rejectionOf(dial({ ALPNProtocols: ["h2"] }))).message).to.include("alert no application protocol");
  });

  it("gives the session a cookie for https alone, and lets its own https origin in", async () => {
    const { port } = proxy.server;
    const headers = { origin: `https://127.0.0.1:${port}`, "content-type": "application/json" };
    const asking = request({
      port,
      host: "127.0.0.1",
      path: "/api/sessions",
      method: "POST",
      ca: authority.cert,
      headers,
    });
    asking.end('{"token":"good"}');
    const [response] = (await within("an answer", once(asking, "response"))) as [IncomingMessage];
    response.resume();
    expect(response.statusCode).to.equal(201);
    expect(response.headers["set-cookie"]?.[0]).to.match(/; Secure$/);
    expect(response.headers).to.not.have.property("strict-transport-security");
  });

  it("accepts WebSockets", async () => {
    const socket = await dial();
    socket.write(proxy.upgrade({ origin: `https://127.0.0.1:${proxy.server.port}` }));
    expect(await within("an answer", firstBytes(socket))).to.match(/^HTTP\/1.1 101 /);
  });

  it("shows a new certificate to new connections, and those that stand go on", async () => {
    const before = await dial();
    await answers(before);
    write(authority.issue({ subject: "/CN=second" }));
    for (let look = 0; look < 2; look += 1) {
      await until("the look to end", () => clock.waiting === 1);
      clock.advance(FILES_INTERVAL_MS);
    }
    await until("the new certificate", () => new X509Certificate(files.identity.cert).subject === "CN=second");
    expect(shown(await dial())).to.equal("CN=second");
    expect(shown(before)).to.equal("CN=first");
    await answers(before);
    // Whoever resumes what it had with the old one meets the new one as well.
    expect(shown(await dial({ session: before.getSession() }))).to.equal("CN=second");
  });

  it("closes what is no TLS, and goes on", async () => {
    for (const bytes of [ASK, Buffer.alloc(64, 255)]) {
      const socket = plain();
      socket.write(bytes);
      expect(await within("the end", received(socket))).to.not.include("HTTP/1.1");
    }
    await answers(await dial());
  });

  it("closes a connection whose handshake does not end", async () => {
    await proxy.stop();
    proxy = await start({ handshakeMs: 50 });
    await within("the end", received(plain()));
    await answers(await dial());
  });

  /** Connections that begin no handshake, and how many of them have been cut. */
  async function idlers(count: number): Promise<{ cut: number }> {
    const seen = { cut: 0 };
    const sockets = Array.from({ length: count }, () => plain().resume());
    await Promise.all(sockets.map((socket) => once(socket, "connect")));
    for (const socket of sockets) socket.once("close", () => (seen.cut += 1));
    return seen;
  }

  it("lets a viewer in while others hold all handshakes that may be under way, and cuts one of those", async () => {
    const idle = await idlers(MAX_TLS_HANDSHAKES);
    await answers(await dial());
    await until("the cut", () => idle.cut === 1);
    const more = await idlers(MAX_TLS_HANDSHAKES / 2);
    await until("a cut for each beyond", () => idle.cut + more.cut === MAX_TLS_HANDSHAKES / 2);
  });

  it("counts no connection that has its handshake behind it, and none that is over", async () => {
    const open = await Promise.all(Array.from({ length: 20 }, () => dial()));
    for (const socket of open.slice(10)) socket.destroy();
    const idle = await idlers(MAX_TLS_HANDSHAKES - 1);
    await answers(await dial());
    expect(idle.cut).to.equal(0);
    expect(open.slice(0, 10).filter(({ destroyed }) => destroyed)).to.have.length(0);
  });

  it("cuts handshakes when it stops", async () => {
    const socket = plain();
    await once(socket, "connect");
    const cut = received(socket);
    await within("the stop", proxy.server.stop());
    await within("the cut", cut);
  });
});
