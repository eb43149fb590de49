// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { once } from "node:events";
import type { AddressInfo, Server, Socket } from "node:net";
import { connect, createServer } from "node:net";
import { createSecureContext, createServer as createTlsServer } from "node:tls";
import { MutualTls, tlsOptionsTo } from "../../../agent/mutual-tls.js";
import { FIRST_WORD_MS, TLS_HANDSHAKE_MS } from "../../../src/lib/limits.js";
import { FakeClock } from "../../fakes/fake-clock.js";
import { TestAuthority } from "../../harness/certificates.js";
import { rejectionOf } from "../../harness/rejection.js";
import { until, within } from "../../harness/within.js";

const TRUST = "NODE_TLS_REJECT_UNAUTHORIZED";

describe("MutualTls", () => {
  const authority = new TestAuthority();
  const { cert, key } = authority.issue();
  const secureContext = createSecureContext({ cert, key, ca: authority.cert });
  const identity = { cert, key, ca: authority.cert, expiresAt: new Date(Date.now() + 60_000) };
  let clock: FakeClock;
  let sockets: Socket[];
  let server: Server;

  after(() => authority.remove());

  beforeEach(() => {
    clock = new FakeClock();
    sockets = [];
  });

  afterEach(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });

  /** Connects to the server as grpc-js would. */
  async function secured(): Promise<Socket> {
    await once(server.listen(0, "127.0.0.1"), "listening");
    server.on("connection", (socket) => void sockets.push(socket.on("error", () => undefined)));
    const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
    sockets.push(socket);
    await once(socket, "connect");
    const tls = new MutualTls({ host: "127.0.0.1", identity, secureContext, clock });
    return (await tls._createSecureConnector({}, {}).connect(socket)).socket;
  }

  it("gives up a controller that never ends its handshake, and closes the connection", async () => {
    server = createServer((socket) => socket.resume());
    const failed = rejectionOf(secured());
    await until("the deadline to be set", () => clock.waiting === 1);
    clock.advance(TLS_HANDSHAKE_MS);
    expect((await failed).message).to.include("ends no TLS handshake within");
    await until("the end", () => sockets.every(({ destroyed }) => destroyed));
  });

  it("takes a controller that says nothing for a while for one that lets it in", async () => {
    server = createTlsServer({ cert, key, ca: authority.cert, requestCert: true, ALPNProtocols: ["h2"] });
    const connecting = secured();
    await until("the handshake", () => clock.waiting === 2);
    clock.advance(FIRST_WORD_MS);
    const secure = await within("the connection", connecting);
    sockets.push(secure);
    expect(secure.listenerCount("readable")).to.equal(0);
  });

  it("refuses a controller of another authority, also where the environment tells Node.js to trust everybody", async () => {
    const stranger = new TestAuthority();
    const before = process.env[TRUST];
    process.env[TRUST] = "0";
    try {
      server = createTlsServer({ ...stranger.issue(), ALPNProtocols: ["h2"] }, (socket) => socket.write("welcome"));
      expect((await rejectionOf(secured())).message).to.include("authority");
    } finally {
      if (before === undefined) Reflect.deleteProperty(process.env, TRUST);
      else process.env[TRUST] = before;
      stranger.remove();
    }
  });

  it("sends a name to the server and no address", () => {
    expect(tlsOptionsTo({ host: "controller.example", secureContext }).servername).to.equal("controller.example");
    for (const host of ["127.0.0.1", "::1"]) {
      expect(tlsOptionsTo({ host, secureContext })).to.include({ host, servername: "" });
    }
  });
});
