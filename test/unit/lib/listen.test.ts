// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import type { Server } from "node:net";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { closeNow, connectionsOf, listen, portOf } from "../../../src/lib/listen.js";
import { FakeLog } from "../../fakes/fake-log.js";
import { rejectionOf } from "../../harness/rejection.js";
import { within } from "../../harness/within.js";

describe("listen", () => {
  const at = { host: "127.0.0.1", port: 0 };
  let log: FakeLog;
  let server: Server;

  beforeEach(() => {
    log = new FakeLog();
    server = createServer();
  });

  afterEach(() => void server.close());

  it("says where it listens, and fails with name and address where it cannot", async () => {
    const [first, second] = [server, createServer()];
    expect(portOf(first)).to.equal(0);
    await listen(first, { name: "door", at, log: log.log });
    const port = portOf(first);
    expect(log.at("info")[0]).to.include({ listen: `127.0.0.1:${port}`, msg: "door listens" });
    const failure = await rejectionOf(listen(second, { name: "window", at: { ...at, port }, log: log.log }));
    expect(failure.message).to.match(new RegExp(`window cannot listen on 127.0.0.1:${port}: .*EADDRINUSE`));
  });

  it("warns of what others can reach in the clear, and of nothing else", async () => {
    const anywhere = { host: "0.0.0.0", port: 0 };
    const warnings = (): unknown[] => log.at("warn").map(({ msg }) => msg);
    const secure = createTlsServer();
    const local = createServer();
    await listen(local, { name: "door", at, log: log.log });
    await listen(secure, { name: "gate", at: anywhere, log: log.log });
    local.close();
    secure.close();
    expect(warnings()).to.deep.equal([]);
    await listen(server, { name: "door", at: anywhere, log: log.log });
    expect(warnings()).to.have.length(1);
    expect(warnings()[0]).to.match(/^door listens in the clear beyond this machine/);
  });

  it("closes with everything that is open, and twice", async () => {
    const connections = connectionsOf(server);
    await closeNow(server, connections);
    await listen(server, { name: "door", at, log: log.log });
    const client = connect(portOf(server), at.host).on("error", () => undefined);
    await once(server, "connection");
    const ended = once(client.resume(), "close");
    await within("the close", closeNow(server, connections));
    await within("the end of the connection", ended);
    await closeNow(server, connections);
    expect(connections.size).to.equal(0);
  });

  it("survives a connection that it cannot accept", async () => {
    await listen(server, { name: "door", at, log: log.log });
    server.emit("error", new Error("EMFILE"));
    expect(log.at("error").map(({ msg }) => msg)).to.deep.equal(["door could not accept a connection"]);
  });
});
