// SPDX-License-Identifier: Apache-2.0
// Viewers that break the rules lose their channel, and nobody else's.
import { expect } from "chai";
import { randomBytes } from "node:crypto";
import { defineAndStart } from "../../demo/demo-machine.js";
import { Deployment } from "../harness/deployment.js";
import { sharedLibvirtd } from "../harness/hypervisor.js";
import { clientLink, SPICE_CHANNEL } from "../harness/spice-wire.js";
import type { Viewer, ViewerSocket } from "../harness/viewer.js";
import { refusalOf } from "../harness/viewer.js";

const MAX_CHANNELS = 8;

describe("A viewer misbehaves", function () {
  this.timeout(60_000);
  let deployment: Deployment;
  let viewer: Viewer;
  let good: ViewerSocket;
  let connectionId: number;

  before(async () => {
    const libvirtd = await sharedLibvirtd();
    const machine = await defineAndStart(libvirtd, { name: "misbehaves", displays: ["spice-none"] });
    const controller = { sessions: { max_channels: MAX_CHANNELS } };
    deployment = await Deployment.start({ libvirtUri: libvirtd.uri, controller });
    await deployment.knows(machine.uuid);
    viewer = await deployment.openConsole(machine.uuid);
    const joined = await viewer.joinMain();
    good = joined.main;
    connectionId = joined.connectionId;
  });
  after(() => deployment.stop());
  afterEach(async () => {
    // The one that behaves still has its channel, and may have more.
    expect(good.webSocket.readyState).to.equal(good.webSocket.OPEN);
    await (await viewer.join(SPICE_CHANNEL.cursor, connectionId)).close();
  });

  for (const [what, bytes] of [
    ["garbage", randomBytes(64)],
    ["an HTTP request", Buffer.from("GET / HTTP/1.1\r\nHost: a\r\n\r\n")],
    ["a link message that names a huge size", Buffer.from("524544510200000002000000ffffffff", "hex")],
    ["a channel that needs a main of its own", clientLink({ type: SPICE_CHANNEL.display, connectionId: 0 })],
  ] as const) {
    it(`with ${what}`, async () => {
      const socket = await viewer.connect();
      socket.send(bytes);
      expect((await socket.ends()).code).to.equal(4400);
    });
  }

  it("with text where bytes belong", async () => {
    const socket = await viewer.connect();
    socket.webSocket.send("hello");
    expect((await socket.ends()).code).to.equal(1003);
  });

  it("with a message that is too large", async () => {
    const socket = await viewer.connect();
    socket.send(Buffer.alloc(2 * 1024 * 1024));
    expect((await socket.ends()).code).to.equal(1009);
  });

  it("by saying nothing for ten seconds", async () => {
    const socket = await viewer.connect();
    expect((await socket.ends(15_000)).code).to.equal(4400);
  });

  it("with a first channel that is not main", async () => {
    const { instanceUuid } = await deployment.sessionOf(viewer);
    const other = await deployment.openConsole(instanceUuid);
    const socket = await other.connect();
    socket.send(clientLink({ type: SPICE_CHANNEL.display, connectionId: 7 }));
    expect((await socket.ends()).code).to.equal(4400);
  });

  it("with more channels than a session may have", async () => {
    const sockets = await Promise.all(Array.from({ length: MAX_CHANNELS - 1 }, () => viewer.connect()));
    const refusal = await refusalOf(viewer.connect());
    expect(refusal.status).to.equal(429);
    expect(refusal.body).to.include({ reason: "LIMITED" });
    await Promise.all(sockets.map((socket) => socket.close()));
    await deployment.sessionShows(viewer, ({ openChannels }) => openChannels === 1, "one open channel");
  });
});
