// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import type { AddressInfo, ListenOptions, Server, Socket } from "node:net";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import type { DomainDisplay } from "../../../agent/hypervisor.js";
import type { OpenedDisplay } from "../../../agent/open-display.js";
import { connectable, openDisplay } from "../../../agent/open-display.js";
import { reasonOf } from "../../../src/lib/service-error.js";
import { aDomain, uuidOf } from "../../fakes/domains.js";
import { FAKE_INFO, FakeHypervisor } from "../../fakes/fake-hypervisor.js";
import { rejectionOf } from "../../harness/rejection.js";
import { socketPair } from "../../harness/socket-pair.js";
import { until, within } from "../../harness/within.js";

/** Long enough for a TLS client to see that it is none of its own. */
const GREETING = "hello there";
/** Enough for everything that waits for no event, and too few for any event to arrive. */
const TURNS = 100;

async function afterTurns(turns: number): Promise<void> {
  for (let turn = 0; turn < turns; turn += 1) await Promise.resolve();
}

describe("OpenDisplay on the agent", () => {
  let hypervisor: FakeHypervisor;
  let enabled: boolean;
  let servers: Server[];
  let sockets: Socket[];
  let folder: string;

  beforeEach(async () => {
    hypervisor = new FakeHypervisor();
    enabled = true;
    servers = [];
    sockets = [];
    folder = await mkdtemp(join(tmpdir(), "spicegate-display-"));
  });

  afterEach(async () => {
    for (const socket of sockets) socket.destroy();
    for (const server of servers) server.close();
    await rm(folder, { recursive: true });
  });

  async function open(signal?: AbortSignal): Promise<OpenedDisplay> {
    const settings = { enabled, server_proxyclient_address: "192.0.2.7" };
    const options = { ms: 2_000, ...(signal && { signal }) };
    const opened = await openDisplay({ hypervisor, settings }, uuidOf(1), options);
    sockets.push(opened.socket);
    return opened;
  }

  function put(...displays: DomainDisplay[]): void {
    hypervisor.put(aDomain(1, { displays }));
  }

  /** A display that greets whoever connects. */
  async function serve(where: ListenOptions): Promise<Server> {
    const server = createServer((socket) => {
      sockets.push(socket);
      socket
        .on("error", () => undefined)
        .resume()
        .write(GREETING);
    });
    servers.push(server);
    await once(server.listen(where), "listening");
    return server;
  }

  const portOf = (server: Server): number => (server.address() as AddressInfo).port;

  async function greeting({ socket }: OpenedDisplay): Promise<string> {
    const [chunk] = (await once(socket, "data")) as [Buffer];
    return chunk.toString();
  }

  it("takes the hypervisor's descriptor, of the first SPICE display by its place among all", async () => {
    put({ kind: "vnc", listen: "none" }, { kind: "spice", listen: "none" }, { kind: "spice", listen: "none" });
    const [near, far] = await socketPair();
    sockets.push(near, far);
    const asked: unknown[] = [];
    hypervisor.opener = (...question) => {
      asked.push(question);
      return near;
    };
    expect(await open()).to.deep.equal({ socket: near, means: "fd" });
    expect(asked).to.deep.equal([[uuidOf(1), 1]]);
  });

  it("takes the unix socket where there is no descriptor", async () => {
    const path = join(folder, "spice.sock");
    await serve({ path });
    put({ kind: "spice", listen: "socket", socket: path });
    const opened = await open();
    expect(opened.means).to.equal("socket");
    expect(await greeting(opened)).to.equal(GREETING);
  });

  it("takes the port where there is neither, at the address it listens on", async () => {
    const port = portOf(await serve({ host: "127.0.0.5", port: 0 }));
    put({ kind: "spice", listen: "address", address: "127.0.0.5", port });
    const opened = await open();
    expect(opened.means).to.equal("tcp");
    expect(await greeting(opened)).to.equal(GREETING);
  });

  it("reaches a display that listens everywhere by loopback", () => {
    const listens = (address?: string): unknown =>
      connectable({ kind: "spice", listen: "address", port: 5_900, tlsPort: 5_901, ...(address && { address }) });
    expect(listens("0.0.0.0")).to.deep.equal({ means: "tcp", host: "127.0.0.1", port: 5_900 });
    expect(listens("::")).to.deep.equal({ means: "tcp", host: "::1", port: 5_900 });
    expect(listens()).to.deep.equal({ means: "tcp", host: "127.0.0.1", port: 5_900 });
    expect(listens("192.0.2.1")).to.deep.equal({ means: "tcp", host: "192.0.2.1", port: 5_900 });
  });

  it("takes the TLS port of a display that insists on TLS, and no descriptor", async () => {
    const port = portOf(await serve({ host: "127.0.0.1", port: 0 }));
    hypervisor.opener = () => expect.fail("QEMU would refuse what comes through it");
    put({ kind: "spice", listen: "address", tlsPort: port });
    // This server speaks no TLS; test/integration/libvirt/open-display.test.ts has one that does.
    const error = await rejectionOf(open());
    expect(reasonOf(error)).to.equal("TARGET_REFUSED");
  });

  it("says why a display takes no connection", async () => {
    const server = await serve({ host: "127.0.0.1", port: 0 });
    const port = portOf(server);
    server.close();
    await once(server, "close");
    for (const [display, words] of [
      [{ kind: "spice", listen: "address", port }, "does not take the connection"],
      [{ kind: "spice", listen: "socket", socket: join(folder, "none") }, "does not take the connection"],
      [{ kind: "spice", listen: "address", tlsPort: port }, "does not take the connection"],
      [{ kind: "spice", listen: "none" }, "listens nowhere"],
    ] as const) {
      put(display);
      const error = await rejectionOf(open());
      expect(reasonOf(error)).to.equal("TARGET_REFUSED");
      expect(error.message).to.include(words);
    }
  });

  it("checks as GetSpiceEndpoint does, in that order", async () => {
    hypervisor.opener = () => expect.fail("nothing is opened");
    const refused = async (): Promise<string> => reasonOf(await rejectionOf(open()));
    expect(await refused()).to.equal("INSTANCE_NOT_FOUND");
    hypervisor.put(aDomain(1, { state: "shut-off" }));
    expect(await refused()).to.equal("INSTANCE_NOT_RUNNING");
    put({ kind: "vnc", listen: "none" });
    expect(await refused()).to.equal("NO_SPICE_DISPLAY");
    hypervisor.setStatus({ available: true, info: { ...FAKE_INFO, spice: false }, detail: "" });
    expect(await refused()).to.equal("HOST_LACKS_SPICE");
    enabled = false;
    expect(await refused()).to.equal("SPICE_DISABLED");
  });

  it("passes on what the hypervisor says", async () => {
    hypervisor.put(aDomain(1));
    hypervisor.ignoreNext();
    const caller = new AbortController();
    const cancelled = rejectionOf(open(caller.signal));
    await until("the question", () => hypervisor.open === 1);
    caller.abort();
    expect(reasonOf(await cancelled)).to.equal("CANCELLED");
  });

  it("closes a connection that is cancelled while it is made", async () => {
    const path = join(folder, "spice.sock");
    const taken = once(await serve({ path }), "connection");
    put({ kind: "spice", listen: "socket", socket: path });
    const caller = new AbortController();
    hypervisor.opener = () => {
      void afterTurns(TURNS).then(() => caller.abort());
      return undefined;
    };
    expect(reasonOf(await rejectionOf(open(caller.signal)))).to.equal("CANCELLED");
    const [socket] = (await within("the connection", taken)) as [Socket];
    await until("its end", () => socket.closed);
  });
});
