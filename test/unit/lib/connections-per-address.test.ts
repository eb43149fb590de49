// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { once } from "node:events";
import type { AddressInfo, Server, Socket } from "node:net";
import { connect, createServer } from "node:net";
import { boundPerAddress } from "../../../src/lib/connections-per-address.js";
import { within } from "../../harness/within.js";

const MOST = 3;
const PATIENCE_MS = 5_000;

describe("boundPerAddress", () => {
  let server: Server;
  let clients: Socket[];
  let served: Socket[];

  beforeEach(async () => {
    clients = [];
    served = [];
    server = createServer((socket) => {
      served.push(socket);
      socket.on("error", () => undefined).write("hello");
    });
    boundPerAddress(server, { most: MOST, isFree: (address) => address === "127.0.0.9" });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
  });
  afterEach(async () => {
    for (const client of clients) client.destroy();
    server.close();
    await once(server, "close");
  });

  function connectFrom(localAddress: string): Socket {
    const { port } = server.address() as AddressInfo;
    const client = connect({ port, host: "127.0.0.1", localAddress });
    client.on("error", () => undefined);
    clients.push(client);
    return client;
  }
  /** Whether the server serves it, or cuts it. */
  function isServed(client: Socket): Promise<boolean> {
    const hello = once(client, "data").then(() => true);
    const cut = once(client, "close").then(() => false);
    return within("an answer", Promise.race([hello, cut]), PATIENCE_MS);
  }
  async function serve(address: string, count: number): Promise<Socket[]> {
    const opened = Array.from({ length: count }, () => connectFrom(address));
    for (const client of opened) expect(await isServed(client)).to.equal(true);
    return opened;
  }

  it("cuts what one address has too many of, and nobody else's", async () => {
    await serve("127.0.0.1", MOST);
    expect(await isServed(connectFrom("127.0.0.1"))).to.equal(false);
    await serve("127.0.0.2", MOST);
  });

  it("serves another one when one has gone", async () => {
    const [first] = await serve("127.0.0.1", MOST);
    const gone = once(served[0]!, "close");
    first?.destroy();
    await within("the end of the first", gone, PATIENCE_MS);
    await serve("127.0.0.1", 1);
  });

  it("counts nothing for an address that is free", async () => {
    await serve("127.0.0.9", MOST + 1);
  });
});
