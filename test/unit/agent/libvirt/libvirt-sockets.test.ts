// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import type { Server, Socket } from "node:net";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { LibvirtSockets } from "../../../../agent/libvirt/libvirt-sockets.js";
import { systemClock } from "../../../../src/lib/clock.js";
import { LIBVIRT_FREE_INTERVAL_MS, LIBVIRT_FREE_MS } from "../../../../src/lib/limits.js";
import { FakeClock } from "../../../fakes/fake-clock.js";
import { until } from "../../../harness/within.js";

/** Fails on a socket that was shut. */
function write(socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.write("x", (error) => (error ? reject(error) : resolve()));
  });
}

describe("LibvirtSockets", () => {
  let folder: string;
  let servers: Server[];
  let clients: Socket[];

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "spicegate-sockets-"));
    servers = [];
    clients = [];
  });

  afterEach(async () => {
    for (const client of clients) client.destroy();
    for (const server of servers) server.close();
    await rm(folder, { recursive: true });
  });

  /** Listens at a path in the folder; whoever connects is kept until the client ends. */
  async function listen(name: string): Promise<string> {
    const path = join(folder, name);
    const server = createServer((socket) => socket.on("error", () => socket.destroy()).resume());
    servers.push(server.listen(path));
    await once(server, "listening");
    return path;
  }

  async function dial(path: string): Promise<Socket> {
    const client = connect({ path });
    clients.push(client);
    await once(client, "connect");
    return client.resume();
  }

  const sockets = (path: string): LibvirtSockets =>
    new LibvirtSockets(`qemu:///session?socket=${encodeURIComponent(path)}`, systemClock);

  it("cuts the sockets of one owner and leaves the others", async () => {
    const path = await listen("libvirt");
    const known = sockets(path);
    const [first, second] = [{}, {}];
    known.opening(first);
    const mine = await dial(path);
    known.opened(first);
    known.opening(second);
    const others = await dial(path);
    known.opened(second);
    const ended = once(mine, "close");
    known.cut(first);
    await ended;
    await write(others);
    const endedToo = once(others, "close");
    known.cut(second);
    await endedToo;
  });

  it("cuts a socket while its owner is still opening, and none of that for anybody else", async () => {
    const path = await listen("libvirt");
    const known = sockets(path);
    const [opening, other] = [{}, {}];
    known.opening(other);
    known.opened(other);
    known.opening(opening);
    const mine = await dial(path);
    known.cut(other);
    await write(mine);
    const ended = once(mine, "close");
    known.cut(opening);
    await ended;
  });

  it("touches no socket that does not lead to libvirt", async () => {
    const elsewhere = await dial(await listen("postgres"));
    const known = sockets(await listen("libvirt"));
    const owner = {};
    known.opening(owner);
    known.cut(owner);
    known.cutAll();
    await write(elsewhere);
  });

  it("knows libvirt's own sockets by their names where the uri gives none", async () => {
    const client = await dial(await listen("virtqemud-sock"));
    const ended = once(client, "close");
    new LibvirtSockets("qemu:///system", systemClock).cutAll();
    await ended;
  });

  it("cuts again and again until the worker answers", async () => {
    const path = await listen("libvirt");
    const known = sockets(path);
    const owner = {};
    known.opening(owner);
    const first = await dial(path);
    const answered = once(first, "close").then(async () => once(await dial(path), "close"));
    expect(await known.free(owner, answered)).to.equal(true);
  });

  it("gives up on a worker that never answers", async () => {
    const clock = new FakeClock();
    const known = new LibvirtSockets(`qemu:///session?socket=${join(folder, "libvirt")}`, clock);
    let freed: boolean | undefined;
    void known.free({}, new Promise(() => undefined)).then((answer) => (freed = answer));
    await until("the end of its patience", () => {
      clock.advance(LIBVIRT_FREE_INTERVAL_MS);
      return freed !== undefined;
    });
    expect(freed).to.equal(false);
    expect(clock.now()).to.be.within(LIBVIRT_FREE_MS, LIBVIRT_FREE_MS + 2 * LIBVIRT_FREE_INTERVAL_MS);
  });
});
