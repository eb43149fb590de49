// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import type { Server } from "node:net";
import { createServer } from "node:net";
import { listen, portOf } from "../../../src/lib/listen.js";
import { FakeLog } from "../../fakes/fake-log.js";
import { rejectionOf } from "../../harness/rejection.js";

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

  it("survives a connection that it cannot accept", async () => {
    await listen(server, { name: "door", at, log: log.log });
    server.emit("error", new Error("EMFILE"));
    expect(log.at("error").map(({ msg }) => msg)).to.deep.equal(["door could not accept a connection"]);
  });
});
