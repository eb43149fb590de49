// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import type { Socket } from "node:net";
import { expect } from "chai";
import { DisplayTunnel } from "../../../agent/display-tunnel.js";
import { TUNNEL_LAST_BYTES_MS } from "../../../src/lib/limits.js";
import { FakeClock } from "../../fakes/fake-clock.js";
import { socketPair } from "../../harness/socket-pair.js";
import { until, within } from "../../harness/within.js";

const MIB = 1024 * 1024;
const CHUNK = Buffer.alloc(64 * 1024, "x");
// What the kernel holds for two stalled connections on loopback, and some.
const MOST_ACCEPTED = 24 * MIB;
const OFFERED = 400 * MIB;

describe("DisplayTunnel", () => {
  let clock: FakeClock;
  /** The far ends: QEMU's of the display, the controller's of the tunnel. */
  let qemu: Socket;
  let controller: Socket;
  let near: readonly Socket[];
  let tunnel: DisplayTunnel;

  beforeEach(async () => {
    clock = new FakeClock();
    const [display, farDisplay] = await socketPair();
    const [dialled, farTunnel] = await socketPair();
    [qemu, controller, near] = [farDisplay, farTunnel, [display, dialled]];
    tunnel = new DisplayTunnel(display, dialled, clock);
  });

  afterEach(() => {
    for (const socket of [qemu, controller, ...near]) socket.destroy();
  });

  async function received(socket: Socket, bytes: number): Promise<string> {
    let text = "";
    socket.on("data", (chunk: Buffer) => (text += chunk.toString()));
    await until(`${bytes} bytes`, () => text.length >= bytes);
    return text;
  }

  /** Writes until the other end has held the writer back for a while; returns how much it took. */
  async function writeUntilHeldBack(writer: Socket): Promise<number> {
    let accepted = 0;
    while (accepted < OFFERED) {
      accepted += CHUNK.length;
      if (writer.write(CHUNK)) continue;
      const drained = new Promise<boolean>((resolve) => writer.once("drain", () => resolve(true)));
      const heldBack = new Promise<boolean>((resolve) => setTimeout(() => resolve(false), 300));
      if (!(await Promise.race([drained, heldBack]))) return accepted;
    }
    return accepted;
  }

  it("carries bytes both ways and counts them", async () => {
    qemu.write("screen");
    controller.write("key");
    expect(await received(controller, 6)).to.equal("screen");
    expect(await received(qemu, 3)).to.equal("key");
    expect(tunnel.traffic).to.deep.equal({ toController: 6, toDisplay: 3 });
  });

  for (const direction of ["display", "controller"] as const) {
    it(`holds a fast ${direction} back while the other side does not read, and loses nothing`, async function () {
      this.timeout(20_000);
      const [writer, reader] = direction === "display" ? [qemu, controller] : [controller, qemu];
      const memory = process.memoryUsage.rss();
      const accepted = await writeUntilHeldBack(writer);
      expect(accepted, "accepted while nobody reads").to.be.lessThan(MOST_ACCEPTED);
      for (const socket of near) expect(socket.writableLength + socket.readableLength).to.be.lessThan(MIB);
      expect(process.memoryUsage.rss() - memory).to.be.lessThan(16 * MIB);
      let bytes = 0;
      reader.on("data", (chunk: Buffer) => (bytes += chunk.length));
      writer.end();
      await within("the end", once(reader, "end"), 10_000);
      expect(bytes).to.equal(accepted);
    });
  }

  for (const side of ["display", "controller"] as const) {
    const ends = {
      "ends in an orderly way": (socket: Socket) => socket.end(),
      "is cut off": (socket: Socket) => socket.resetAndDestroy(),
    };
    for (const [how, end] of Object.entries(ends)) {
      it(`ends both sides when the ${side} ${how}`, async () => {
        const [one, other] = side === "display" ? [qemu, controller] : [controller, qemu];
        other.resume();
        const ended = once(other, "end");
        end(one);
        await within("the end of the other side", ended);
        await within("the end of the tunnel", tunnel.closed);
        expect(near.every(({ destroyed }) => destroyed)).to.equal(true);
        expect(clock.waiting, "timers that stay").to.equal(0);
      });
    }
  }

  it("delivers what a side said just before its end", async () => {
    qemu.end("the last words");
    expect(await received(controller, 14)).to.equal("the last words");
    await within("the end of the tunnel", tunnel.closed);
  });

  it("gives up the last bytes of one side when the other does not take them", async () => {
    await writeUntilHeldBack(qemu);
    const [display, dialled] = near;
    display?.destroy();
    await until("the wait for the controller", () => clock.waiting === 1);
    expect(dialled?.destroyed).to.equal(false);
    clock.advance(TUNNEL_LAST_BYTES_MS);
    await within("the end of the tunnel", tunnel.closed);
  });

  it("ends both sides when a controller ends that does not read", async () => {
    await writeUntilHeldBack(qemu);
    controller.end();
    await within("the end of the tunnel", tunnel.closed);
    await until("the end of the display", () => qemu.closed);
  });

  it("ends at once where a side was gone before", async () => {
    const [display, qemuEnd] = await socketPair();
    const [dialled, controllerEnd] = await socketPair();
    near = [...near, qemuEnd, controllerEnd];
    const closed = once(display, "close");
    display.destroy();
    await closed;
    const late = new DisplayTunnel(display, dialled, clock);
    await within("the end of the tunnel", late.closed);
    expect(dialled.destroyed).to.equal(true);
  });

  it("closes both sides when it is destroyed", async () => {
    tunnel.destroy();
    await within("the end of the tunnel", tunnel.closed);
    for (const socket of [qemu, controller]) socket.resume();
    await until("the end of both sides", () => qemu.closed && controller.closed);
  });
});
