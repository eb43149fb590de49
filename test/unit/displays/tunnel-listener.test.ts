// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import type { Socket } from "node:net";
import { expect } from "chai";
import { MAX_TUNNEL_HEADER_BYTES, MAX_WAITING_TUNNELS } from "../../../src/lib/limits.js";
import { silentLog } from "../../../src/lib/log.js";
import { ServiceError } from "../../../src/lib/service-error.js";
import type { ExpectedTunnel } from "../../../src/displays/tunnel-listener.js";
import { TunnelListener } from "../../../src/displays/tunnel-listener.js";
import { FakeLog } from "../../fakes/fake-log.js";
import { rejectionOf } from "../../harness/rejection.js";
import { TunnelClient, tunnelRequest } from "../../harness/tunnel-client.js";
import { until, within } from "../../harness/within.js";

/** Unlike `once`, also where an error comes first. */
const closeOf = (socket: Socket): Promise<void> => new Promise((resolve) => socket.once("close", () => resolve()));

const LISTEN = { host: "127.0.0.1", port: 0 };

describe("TunnelListener", () => {
  const log = new FakeLog();
  let listener: TunnelListener;

  beforeEach(async () => {
    listener = new TunnelListener({ listen: LISTEN, log: log.log });
    await listener.start();
  });

  afterEach(() => listener.stop());

  const expectOne = (ms = 5_000, signal = new AbortController().signal): ExpectedTunnel =>
    listener.expect({ host: "host-1", ms, signal });

  it("takes an expected tunnel and carries bytes both ways", async () => {
    const expected = expectOne();
    const client = new TunnelClient(expected.address).request(expected.secret);
    const tunnel = await within("the tunnel", expected.arrived);
    await client.sees("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: spicegate-tunnel\r\n\r\n");
    tunnel.write("to the display");
    await client.sees("to the display");
    client.socket.write("to the viewer");
    expect(String((await once(tunnel, "data"))[0])).to.equal("to the viewer");
    expect([listener.openTunnels, listener.waitingTunnels]).to.deep.equal([1, 0]);
  });

  it("keeps what came together with the request, until somebody reads", async () => {
    const expected = expectOne();
    new TunnelClient(expected.address).request(expected.secret, "RFB 003.008\n");
    const tunnel = await within("the tunnel", expected.arrived);
    expect(String((await once(tunnel, "data"))[0])).to.equal("RFB 003.008\n");
  });

  it("holds the source back while nobody reads", async () => {
    const expected = expectOne();
    const client = new TunnelClient(expected.address).request(expected.secret);
    const tunnel = await within("the tunnel", expected.arrived);
    await client.sees("101");
    const chunk = Buffer.alloc(1024 * 1024);
    // The kernel takes some megabytes, then no more.
    await until("a stall", () => !client.socket.write(chunk) && client.socket.writableLength > 32 * chunk.length);
    expect(tunnel.readableLength).to.be.lessThan(256 * 1024);
  });

  it("cuts the tunnels of a host, gives up what that host is to bring, and leaves other hosts alone", async () => {
    const signal = new AbortController().signal;
    const [open, waiting] = [expectOne(), expectOne()];
    const other = listener.expect({ host: "host-2", ms: 5_000, signal });
    const client = new TunnelClient(open.address).request(open.secret);
    await within("the tunnel", open.arrived);
    const kept = new TunnelClient(other.address).request(other.secret);
    await within("the other tunnel", other.arrived);
    listener.cut("host-1");
    await within("the end", client.closed);
    expect(await rejectionOf(waiting.arrived)).to.include({ reason: "AGENT_UNAVAILABLE" });
    expect([listener.openTunnels, kept.socket.destroyed]).to.deep.equal([1, false]);
  });

  it("tells agents of the host at which they reach it, with its own port", async () => {
    const advertised = new TunnelListener({ listen: LISTEN, advertisedHost: "controller.example", log: log.log });
    await advertised.start();
    try {
      expect(advertised.address).to.match(/^controller\.example:[1-9]\d*$/);
    } finally {
      await advertised.stop();
    }
  });

  it("takes a secret once", async () => {
    const expected = expectOne();
    new TunnelClient(expected.address).request(expected.secret);
    await within("the tunnel", expected.arrived);
    const second = new TunnelClient(expected.address).request(expected.secret);
    await within("the end", second.closed);
    expect(second.text).to.match(/^HTTP\/1\.1 403 Forbidden\r\n/);
    expect(listener.openTunnels).to.equal(1);
  });

  it("refuses a secret that nobody expects, and closes although the other side does not", async () => {
    const client = new TunnelClient(listener.address).request("guessed");
    client.socket.allowHalfOpen = true;
    await client.sees("HTTP/1.1 403");
    // A connection that is only half closed would take this and say nothing.
    const closed = within("the end", client.closed);
    client.socket.write("still here");
    await until("the server's end", () => {
      if (!client.socket.destroyed) client.socket.write("x");
      return client.socket.destroyed;
    });
    await closed;
    expect(JSON.stringify(log.at("debug")))
      .to.include("nobody expects")
      .and.not.include("guessed");
  });

  it("gives every tunnel a secret of 256 bits and says none in its log", async () => {
    const secrets = Array.from({ length: 100 }, () => expectOne().secret);
    expect(new Set(secrets).size).to.equal(100);
    for (const secret of secrets) expect(Buffer.from(secret, "base64url")).to.have.length(32);
    await listener.stop();
    const lines = (["trace", "debug", "info", "warn", "error"] as const).flatMap((level) => log.at(level));
    for (const secret of secrets) expect(JSON.stringify(lines)).to.not.include(secret);
  });

  it("stops expecting at the deadline and when the caller goes away: the secret is then refused", async () => {
    const caller = new AbortController();
    const late = expectOne(5);
    const unwanted = expectOne(5_000, caller.signal);
    caller.abort(new ServiceError("CANCELLED", "gone"));
    expect(await rejectionOf(late.arrived)).to.have.property("reason", "AGENT_TIMEOUT");
    expect(await rejectionOf(unwanted.arrived)).to.have.property("reason", "CANCELLED");
    expect(listener.waitingTunnels).to.equal(0);
    for (const { secret } of [late, unwanted]) {
      const client = new TunnelClient(listener.address).request(secret);
      await within("the end", client.closed);
      expect(client.text).to.include(" 403 ");
    }
  });

  it("expects no more than its bound at once", async () => {
    const expected = Array.from({ length: MAX_WAITING_TUNNELS }, () => expectOne());
    expect(() => expectOne())
      .to.throw(ServiceError)
      .with.property("reason", "LIMITED");
    const first = expected[0]!;
    new TunnelClient(first.address).request(first.secret);
    await within("the tunnel", first.arrived);
    expectOne();
  });

  const others: readonly [string, string, number][] = [
    ["another path", tunnelRequest("s", "/other"), 404],
    ["another protocol", tunnelRequest("s", "/tunnel", "websocket"), 404],
    ["no upgrade", "GET /tunnel HTTP/1.1\r\nHost: c\r\n\r\n", 404],
    ["another method", "POST /tunnel HTTP/1.1\r\nHost: c\r\nContent-Length: 0\r\n\r\n", 405],
    ["too large a header", `GET /tunnel HTTP/1.1\r\nHost: c\r\nX: ${"x".repeat(MAX_TUNNEL_HEADER_BYTES)}\r\n\r\n`, 431],
    ["no HTTP", "REDQ\r\n\r\n", 400],
  ];
  for (const [what, request, status] of others) {
    it(`answers ${what} with ${status} and closes`, async () => {
      const client = new TunnelClient(listener.address);
      client.socket.write(request);
      await within("the end", client.closed);
      expect(client.text).to.match(new RegExp(`^HTTP/1\\.1 ${status} `));
      expect(client.text).to.match(/Connection: close/i);
    });
  }

  it("ends a tunnel whose agent says no more", async () => {
    const expected = expectOne();
    const client = new TunnelClient(expected.address).request(expected.secret);
    const tunnel = await within("the tunnel", expected.arrived);
    const closed = closeOf(tunnel);
    tunnel.resume();
    client.socket.end();
    await within("the tunnel's close", closed);
    await within("the connection's close", client.closed);
    expect(listener.openTunnels).to.equal(0);
  });

  it("survives a reset of a tunnel and of a connection that asks for one", async () => {
    const expected = expectOne();
    const client = new TunnelClient(expected.address).request(expected.secret);
    const tunnel = await within("the tunnel", expected.arrived);
    const closed = closeOf(tunnel);
    tunnel.resume();
    client.socket.resetAndDestroy();
    await within("the tunnel's close", closed);
    const refused = new TunnelClient(listener.address).request("x");
    await once(refused.socket, "connect");
    refused.socket.resetAndDestroy();
    await within("the end", refused.closed);
    expect(await within("another", takeOne())).to.include("101");
  });

  async function takeOne(): Promise<string> {
    const { address, secret } = expectOne();
    const client = new TunnelClient(address).request(secret);
    await client.sees("101");
    return client.text;
  }

  it("cuts what is open and gives up what is expected when it stops, and takes no more", async () => {
    const open = expectOne();
    const client = new TunnelClient(open.address).request(open.secret);
    await within("the tunnel", open.arrived);
    const silent = new TunnelClient(open.address);
    await once(silent.socket, "connect");
    const waiting = expectOne();
    await listener.stop();
    await listener.stop();
    expect(await rejectionOf(waiting.arrived)).to.have.property("reason", "DRAINING");
    await within("the tunnel's end", client.closed);
    await within("the silent connection's end", silent.closed);
    expect(() => expectOne())
      .to.throw(ServiceError)
      .with.property("reason", "DRAINING");
  });

  it("says which address it could not listen on", async () => {
    const port = Number(listener.address.split(":")[1]);
    const second = new TunnelListener({ listen: { ...LISTEN, port }, log: silentLog });
    expect((await rejectionOf(second.start())).message).to.include(
      `tunnel listener cannot listen on 127.0.0.1:${port}`,
    );
    await second.stop();
  });
});
