// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { freePort, isFree, portNear } from "../../../demo/ports.js";

describe("ports", () => {
  it("gives free ports below the range of outgoing connections, none twice", async () => {
    const ports = await Promise.all(Array.from({ length: 50 }, freePort));
    const lowestOutgoing = parseInt(readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8"), 10);
    expect(new Set(ports).size).to.equal(50);
    expect(Math.max(...ports)).to.be.lessThan(lowestOutgoing);
    expect(await isFree(ports[0]!)).to.be.true;
  });

  it("takes the wanted port if it is free and another if not", async () => {
    const wanted = await freePort();
    expect(await portNear(wanted)).to.equal(wanted);
    const server = createServer().listen(wanted, "127.0.0.1");
    await once(server, "listening");
    expect(await isFree(wanted)).to.be.false;
    expect(await portNear(wanted)).to.not.equal(wanted);
    server.close();
    await once(server, "close");
  });
});
