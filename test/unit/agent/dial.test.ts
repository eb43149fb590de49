// SPDX-License-Identifier: Apache-2.0
import { credentials } from "@grpc/grpc-js";
import { expect } from "chai";
import { once } from "node:events";
import type { AddressInfo, Server, Socket } from "node:net";
import { createServer } from "node:net";
import { Dialler } from "../../../agent/dial.js";
import type { TlsIdentity } from "../../../src/lib/tls-files.js";
import { until } from "../../harness/within.js";

const identity = (): TlsIdentity => ({ cert: "", key: "", ca: "", expiresAt: new Date() });

describe("Dialler", () => {
  let frozen: Server;
  let sockets: Socket[];
  let shown: TlsIdentity;
  let dialler: Dialler;

  beforeEach(async () => {
    sockets = [];
    shown = identity();
    frozen = createServer((socket) => void sockets.push(socket.on("error", () => undefined)));
    await once(frozen.listen(0, "127.0.0.1"), "listening");
    const address = `127.0.0.1:${(frozen.address() as AddressInfo).port}`;
    dialler = new Dialler(address, {
      get identity() {
        return shown;
      },
      channelTo: () => credentials.createInsecure(),
    });
  });

  afterEach(() => {
    dialler.close();
    for (const socket of sockets) socket.destroy();
    frozen.close();
  });

  /** An attempt that a frozen controller leaves without an answer. */
  async function attempt(connections: number): Promise<void> {
    const dialled = dialler.dial();
    dialled.call.on("error", () => undefined);
    await until("the connection", () => sockets.length === connections);
    dialled.close();
  }

  it("uses a connection again that a frozen controller has not answered yet", async () => {
    await attempt(1);
    await attempt(1);
    await attempt(1);
  });

  it("makes another one where that shows a certificate that was replaced", async () => {
    await attempt(1);
    shown = identity();
    await attempt(2);
    expect(sockets).to.have.length(2);
  });
});
