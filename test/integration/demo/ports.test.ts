// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { freePort, isFree, portNear, reservePortBlock } from "../../../demo/ports.js";

const PORTS = new URL("../../../demo/ports.js", import.meta.url).href;

describe("ports", () => {
  it("gives free ports below the range of outgoing connections, none twice", async () => {
    const ports = await Promise.all(Array.from({ length: 50 }, freePort));
    const lowestOutgoing = parseInt(readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8"), 10);
    expect(new Set(ports).size).to.equal(50);
    expect(Math.max(...ports)).to.be.lessThan(lowestOutgoing);
    expect(await isFree(ports[0]!)).to.be.true;
  });

  it("gives no port that another process was given, although nobody listens there", async () => {
    // A second copy of the module knows as little of the first one's ports as another process does.
    const other = (await import(`${PORTS}?of-another-process`)) as { freePort: typeof freePort };
    const draw = (from: typeof freePort): Promise<number[]> => Promise.all(Array.from({ length: 250 }, from));
    const ports = [...(await draw(freePort)), ...(await draw(other.freePort))];
    expect(new Set(ports).size).to.equal(500);
  });

  it("reserves each block of ports once, until it is released", async () => {
    const blocks = await Promise.all(Array.from({ length: 10 }, reservePortBlock));
    const firsts = blocks.map(({ first }) => first);
    expect(new Set(firsts).size).to.equal(10);
    for (const { first, last } of blocks) expect(last - first).to.equal(98);
    // The port before a block is the one that reserves it.
    expect(await isFree(firsts[0]! - 1)).to.be.false;
    for (const block of blocks) block.release();
    expect(await isFree(firsts[0]! - 1)).to.be.true;
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
