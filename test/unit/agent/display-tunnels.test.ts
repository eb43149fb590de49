// SPDX-License-Identifier: Apache-2.0
import type { Socket } from "node:net";
import { expect } from "chai";
import { ControllerCredentials } from "../../../agent/controller-credentials.js";
import { DisplayTunnels } from "../../../agent/display-tunnels.js";
import type { Means } from "../../../agent/open-display.js";
import { systemClock } from "../../../src/lib/clock.js";
import { reasonOf } from "../../../src/lib/service-error.js";
import { FakeTunnelServer } from "../../fakes/fake-tunnel-server.js";
import { rejectionOf } from "../../harness/rejection.js";
import { socketPair } from "../../harness/socket-pair.js";
import { until, within } from "../../harness/within.js";

describe("DisplayTunnels", () => {
  let controller: FakeTunnelServer;
  let tunnels: DisplayTunnels;
  let sockets: Socket[];

  beforeEach(async () => {
    controller = new FakeTunnelServer();
    await controller.start();
    tunnels = new DisplayTunnels(systemClock, new ControllerCredentials(), 2);
    sockets = [];
  });

  afterEach(async () => {
    await tunnels.stop();
    controller.stop();
    for (const socket of sockets) socket.destroy();
  });

  /** Carries a new display; returns its far end at once, and how the carrying went. */
  async function carry(means: Means = "fd", signal?: AbortSignal): Promise<{ qemu: Socket; done: Promise<void> }> {
    const [socket, qemu] = await socketPair();
    sockets.push(qemu);
    const tunnelAddress = controller.address;
    const target = tunnels.target({ instanceUuid: "", tunnelAddress, tunnelSecret: "s" });
    const done = tunnels.carry({ socket, means }, target, { ms: 2_000, ...(signal && { signal }) });
    return { qemu: qemu.resume(), done };
  }

  const ended = (socket: Socket): Promise<void> => until("the end of the display", () => socket.closed);

  it("carries a display, with what it said before anybody listened", async () => {
    const [socket, qemu] = await socketPair();
    sockets.push(qemu);
    qemu.write("RFB 003.008\n");
    const target = tunnels.target({ instanceUuid: "", tunnelAddress: controller.address, tunnelSecret: "s" });
    await until("the first bytes", () => socket.readableLength > 0);
    await tunnels.carry({ socket, means: "fd" }, target, { ms: 2_000 });
    const far = (await controller.next()).socket;
    let text = "";
    far.on("data", (chunk: Buffer) => (text += chunk.toString()));
    await until("the bytes", () => text === "RFB 003.008\n");
  });

  it("counts what is open, what was opened by each means, and all bytes ever carried", async () => {
    controller.firstBytes = "early";
    for (const means of ["fd", "tcp"] as const) {
      const { qemu, done } = await carry(means);
      await done;
      expect(tunnels.open).to.equal(1);
      const { socket } = await controller.next();
      socket.resume().write("key");
      qemu.write("screen");
      await until("the bytes", () => qemu.bytesRead === 8 && socket.bytesRead > 6);
      qemu.end();
      await until("the end of the tunnel", () => tunnels.open === 0);
    }
    expect(tunnels.opened).to.deep.equal({ fd: 1, socket: 0, tcp: 1, tls: 0 });
    expect(tunnels.traffic).to.deep.equal({ toController: 12, toDisplay: 16 });
  });

  it("closes the display when the controller does not take it", async () => {
    controller.answer = "refuse";
    const { qemu, done } = await carry();
    expect(reasonOf(await rejectionOf(done))).to.equal("TARGET_REFUSED");
    await ended(qemu);
    expect(tunnels.opened.fd).to.equal(0);
  });

  it("closes the display and the connection when it is cancelled meanwhile", async () => {
    controller.answer = "nothing";
    const caller = new AbortController();
    const { qemu, done } = await carry("fd", caller.signal);
    const cancelled = rejectionOf(done);
    await controller.next();
    caller.abort();
    expect(reasonOf(await cancelled)).to.equal("CANCELLED");
    await ended(qemu);
    await until("the end of the connection", () => controller.open.size === 0);
  });

  it("closes the display when it was cancelled before", async () => {
    const { qemu, done } = await carry("fd", AbortSignal.abort());
    expect(reasonOf(await rejectionOf(done))).to.equal("CANCELLED");
    await ended(qemu);
    expect(controller.connections).to.equal(0);
  });

  it("refuses more than its bound, and has room again when one has ended", async () => {
    const first = await carry();
    const second = await carry();
    await Promise.all([first.done, second.done]);
    const third = await carry();
    expect(reasonOf(await rejectionOf(third.done))).to.equal("LIMITED");
    await ended(third.qemu);
    first.qemu.end();
    await until("room", () => tunnels.open === 1);
    await (
      await carry()
    ).done;
  });

  it("closes all with its stop, refuses new ones from then on, and stops twice without harm", async () => {
    const { qemu, done } = await carry();
    await done;
    const { socket } = await controller.next();
    socket.resume();
    await within("the stop", Promise.all([tunnels.stop(), tunnels.stop()]));
    expect(tunnels.open).to.equal(0);
    await Promise.all([ended(qemu), ended(socket)]);
    const late = await carry();
    expect(reasonOf(await rejectionOf(late.done))).to.equal("DRAINING");
    await ended(late.qemu);
  });

  it("closes a tunnel that was dialled while it stopped", async () => {
    controller.answer = "nothing";
    const { qemu, done } = await carry();
    const { socket } = await controller.next();
    await tunnels.stop();
    socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: spicegate-tunnel\r\n\r\n");
    await done.catch(() => undefined);
    await ended(qemu);
    await ended(socket);
  });
});
