// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { connect } from "node:net";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { createHttpListener } from "../../../src/http/http-listener.js";
import { MAX_PIPELINED_REQUESTS } from "../../../src/lib/limits.js";
import { silentLog } from "../../../src/lib/log.js";
import { until, within } from "../../harness/within.js";
import { firstBytes, PROOF, ProxyUnderTest, received, SESSION } from "../proxy/proxy-harness.js";

const REQUEST_MS = 300;

/** Collects garbage now, whatever flags node was started with. */
function collectGarbage(): void {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
}

describe("the proxy's HTTP listener", () => {
  let proxy: ProxyUnderTest;

  before(async () => (proxy = await new ProxyUnderTest({ requestMs: REQUEST_MS }).start()));
  after(() => proxy.stop());

  it("closes connections whose request never ends, and those that never begin one", async () => {
    const unfinished = [
      "",
      "GET /console HTTP/1.1\r\nhost: x\r\nx-a: ",
      'POST /api/sessions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 16\r\n\r\n{"token":',
    ];
    for (const bytes of unfinished) {
      const answer = await proxy.exchange(bytes);
      // In the middle of a body an answer is due already, and the connection is cut.
      if (bytes.startsWith("POST")) expect(answer).not.to.include("HTTP/1.1 2");
      else
        expect(answer)
          .to.match(/^HTTP\/1.1 408 /)
          .and.to.include("content-security-policy");
    }
    expect(proxy.viewers.contexts).to.have.length(0);
  });

  it("closes a connection that trickles its headers", async () => {
    const socket = proxy.connect();
    const answer = received(socket);
    socket.write("GET /console HTTP/1.1\r\n");
    const trickle = setInterval(() => socket.write("x-a: b\r\n"), REQUEST_MS / 10);
    try {
      expect(await within("the end", answer)).to.match(/^HTTP\/1.1 408 /);
    } finally {
      clearInterval(trickle);
    }
  });

  it("refuses oversized headers", async () => {
    const answer = await proxy.exchange(`GET /console HTTP/1.1\r\nhost: x\r\nx-a: ${"a".repeat(20_000)}\r\n\r\n`);
    expect(answer)
      .to.match(/^HTTP\/1.1 431 /)
      .and.to.include('"reason":"INVALID_ARGUMENT"');
  });

  it("stops reading a body that is too large", async () => {
    const head = "POST /api/sessions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nconnection: close\r\n";
    expect(await proxy.exchange(`${head}content-length: 1000000000\r\n\r\n{`)).to.match(/^HTTP\/1.1 413 /);
    const chunk = `400\r\n${" ".repeat(1_024)}\r\n`;
    expect(await proxy.exchange(`${head}transfer-encoding: chunked\r\n\r\n${chunk}${chunk}`)).to.match(
      /^HTTP\/1.1 413 /,
    );
  });

  it("answers garbage in words and goes on", async () => {
    for (const bytes of [
      "\x16\x03\x01\x02\x00\x01\x00",
      "GET\r\n\r\n",
      "\0\0\0\0",
      "FOO / HTTP/1.1\r\n\r\n",
      randomBytes(4_096),
    ]) {
      expect(await proxy.exchange(bytes)).to.match(/^HTTP\/1.1 4\d\d /);
    }
    expect(await proxy.exchange("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")).to.match(/^HTTP\/1.1 4\d\d /);
    expect((await proxy.fetch("/healthz")).status).to.equal(200);
  });

  it("refuses a request that two readers could take for different ones", async () => {
    const head = "POST /api/sessions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    const both = `${head}content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nhost: x\r\n\r\n`;
    expect(await proxy.exchange(both))
      .to.match(/^HTTP\/1.1 400 /)
      .and.not.to.include("200 OK");
  });

  it("answers pipelined requests in order, and cuts garbage behind them", async () => {
    const request = (path: string): string => `GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`;
    const last = "GET /console HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    const answers = await proxy.exchange(request("/healthz") + request("/nothing") + last);
    expect(answers.match(/HTTP\/1.1 (\d{3})/g)).to.deep.equal(["HTTP/1.1 200", "HTTP/1.1 404", "HTTP/1.1 200"]);
    let redeem = (): void => undefined;
    proxy.viewers.redeem = () => new Promise((resolve) => (redeem = () => resolve({ session: SESSION, proof: PROOF })));
    const body = '{"token":"good"}';
    const post = `POST /api/sessions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
    const socket = proxy.connect();
    const answer = received(socket);
    const before = proxy.viewers.contexts.length;
    socket.write(post);
    await until("the request", () => proxy.viewers.contexts.length === before + 1);
    socket.write("garbage\r\n\r\n");
    expect(await within("the cut", answer)).to.equal("");
    // The proxy's stop waits for requests under way.
    redeem();
  });

  it("begins a pipelined request when the answer before it has ended, and not at all when its client has left", async () => {
    const asked = proxy.viewers.contexts.length;
    let redeem = (): void => undefined;
    proxy.viewers.redeem = () => new Promise((resolve) => (redeem = () => resolve({ session: SESSION, proof: PROOF })));
    const head = "POST /api/sessions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    const socket = proxy.connect();
    socket.write(`${head}content-length: 16\r\n\r\n{"token":"good"}`.repeat(3));
    await until("the first", () => proxy.viewers.contexts.length === asked + 1);
    redeem();
    await until("the second", () => proxy.viewers.contexts.length === asked + 2);
    socket.destroy();
    await until("the second to hear of it", () => proxy.viewers.contexts.at(-1)?.signal.aborted === true);
    redeem();
    expect(await proxy.exchange("GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).to.match(/ 200 /);
    expect(proxy.viewers.contexts.length).to.equal(asked + 2);
  });

  it("cuts a connection on which too many requests wait", async () => {
    proxy.viewers.redeem = () => new Promise(() => undefined);
    const request = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    const slow =
      "POST /api/sessions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 16\r\n\r\n";
    const socket = proxy.connect();
    const answer = received(socket);
    socket.write(`${slow}{"token":"good"}${request.repeat(MAX_PIPELINED_REQUESTS)}`);
    expect(await within("the cut", answer)).to.equal("");
  });

  it("lets a connection go that does not take its answer", async () => {
    // More than the kernel holds.
    const body = Buffer.alloc(64 * 1024 * 1024);
    const problemBody = (): string => "";
    const options = { headers: {}, problemBody, requestMs: REQUEST_MS, keepAliveMs: REQUEST_MS };
    let cut = false;
    const server = createHttpListener(options, (_request, response) => {
      response.once("close", () => (cut = true)).end(body);
    });
    await once(server.listen(0, "127.0.0.1"), "listening");
    const socket = connect((server.address() as AddressInfo).port, "127.0.0.1").pause();
    socket.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    await until("the connection to be cut", () => cut);
    socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });

  it("keeps nothing of 10,000 invented hosts", async function () {
    this.timeout(30_000);
    // The fake log would keep every line.
    const quiet = await new ProxyUnderTest({ log: silentLog }).start();
    const requests = (from: number): string => {
      const hosts = Array.from({ length: 100 }, (_, i) => `${"h".repeat(1_000)}${from + i}.example`);
      const all = hosts.map((host) => {
        const headers = `host: ${host}\r\norigin: http://${host}\r\nx-forwarded-host: ${host}\r\n`;
        return `DELETE /s/AAAAAAAAAAAAAAAAAAAAAA/ HTTP/1.1\r\n${headers}\r\n`;
      });
      return `${all.join("")}GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`;
    };
    const round = async (from: number, count: number): Promise<number> => {
      for (let asked = 0; asked < count; asked += 100) {
        const answers = await quiet.exchange(requests(from + asked));
        expect(answers.match(/HTTP\/1.1 404/g)).to.have.length(100);
      }
      collectGarbage();
      return process.memoryUsage().heapUsed;
    };
    const before = await round(0, 2_000);
    const after = await round(2_000, 10_000);
    await quiet.stop();
    // One kilobyte kept of each would be ten megabytes.
    expect(after - before).to.be.lessThan(2 * 1024 * 1024);
  });

  it("takes its first bytes in pieces", async () => {
    const socket = proxy.connect();
    socket.write("GET /healthz HT");
    await new Promise((resolve) => setImmediate(resolve));
    socket.write("TP/1.1\r\nhost: x\r\n\r\n");
    expect(await firstBytes(socket)).to.match(/^HTTP\/1.1 200 /);
    socket.destroy();
  });
});
