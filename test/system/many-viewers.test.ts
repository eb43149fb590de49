// SPDX-License-Identifier: Apache-2.0
// More channels than people open, and viewers that do not read. The display is a fake one: no QEMU has so many clients.
import { expect } from "chai";
import { randomUUID } from "node:crypto";
import type { Socket } from "node:net";
import { waitUntil } from "../../demo/wait-until.js";
import { FakeDisplay } from "../fakes/fake-display.js";
import { Deployment } from "../harness/deployment.js";
import { openDescriptors, residentMiB } from "../harness/process-facts.js";
import { clientLink, SPICE_CHANNEL } from "../harness/spice-wire.js";
import type { Viewer, ViewerSocket } from "../harness/viewer.js";

const SESSIONS = 100;
const CHANNELS_EACH = 10;
/** With garbage not yet collected; design and bench speak of what is in use. */
const MIB_FOR_A_THOUSAND = 250;
const FLOOD_MIB_A_SECOND = 50;
const TICK_MS = 50;
const STALLED_MS = 3_000;
/** What kernels (some MiB for each of six ends of connections) and programs may hold; the flood would bring more. */
const STALLED_MIB = 64;
const GROWTH_MIB = 48;

describe("Many viewers", function () {
  this.timeout(120_000);
  const machine = { uuid: randomUUID(), name: "many-viewers" };
  let display: FakeDisplay;
  let deployment: Deployment;
  let onChannel: (socket: Socket) => void;

  before(async () => {
    display = await FakeDisplay.start((socket) => onChannel(socket));
    const quiet = { log: { level: "warn" } };
    const libvirtUri = display.libvirtUri([machine]);
    deployment = await Deployment.start({ libvirtUri, controller: quiet, agent: quiet });
    await deployment.knows(machine.uuid);
  });
  beforeEach(() => {
    onChannel = (socket) => socket.resume();
  });
  after(async () => {
    await deployment.stop();
    await display.stop();
  });

  /** A session's main channel as far as the display has it. */
  async function openMain(viewer: Viewer): Promise<ViewerSocket> {
    const socket = await viewer.connect();
    const before = display.channels;
    socket.send(clientLink({ type: SPICE_CHANNEL.main }));
    await waitUntil(() => display.channels > before, { ms: 10_000, what: "main to reach the display" });
    return socket;
  }

  it("hold a thousand idle channels, and leave nothing behind", async () => {
    const pids = [deployment.controller.pid, deployment.agent!.pid];
    const before = pids.map((pid) => ({ memory: residentMiB(pid), descriptors: openDescriptors(pid) }));
    const sockets: ViewerSocket[] = [];
    for (let session = 0; session < SESSIONS; session += 1) {
      const viewer = await deployment.openConsole(machine.uuid);
      sockets.push(await openMain(viewer));
      const more = await Promise.all(Array.from({ length: CHANNELS_EACH - 1 }, () => viewer.connect()));
      for (const socket of more) socket.send(clientLink({ type: SPICE_CHANNEL.display, connectionId: 1 }));
      sockets.push(...more);
    }
    const all = SESSIONS * CHANNELS_EACH;
    await waitUntil(() => display.channels === all, { ms: 20_000, what: `${all} channels at the display` });
    const grown = pids.reduce((sum, pid, index) => sum + residentMiB(pid) - before[index]!.memory, 0);
    expect(grown, "MiB in controller and agent").to.be.below(MIB_FOR_A_THOUSAND);
    for (const socket of sockets) socket.webSocket.close();
    await waitUntil(() => display.channels === 0, { ms: 20_000, what: "the display to lose its channels" });
    const closed = (): boolean => pids.every((pid, index) => openDescriptors(pid) <= before[index]!.descriptors + 10);
    await waitUntil(closed, { ms: 20_000, what: "the descriptors to be closed" });
  });

  it("that do not read hold the display back, and nobody's memory grows", async () => {
    let accepted = 0;
    onChannel = (socket) =>
      void flood(
        (chunk) => socket.write(chunk),
        socket,
        (bytes) => (accepted += bytes),
      );
    const socket = await openMain(await deployment.openConsole(machine.uuid));
    socket.webSocket.pause();
    await staysFlat(() => accepted);
    socket.webSocket.terminate();
  });

  it("that flood a machine that does not read are held back, and nobody's memory grows", async () => {
    let accepted = 0;
    onChannel = (socket) => socket.pause();
    const viewer = await deployment.openConsole(machine.uuid);
    const { webSocket } = await openMain(viewer);
    const chunk = Buffer.alloc((FLOOD_MIB_A_SECOND * 1024 * 1024 * TICK_MS) / 1_000 / 4);
    const tick = setInterval(() => {
      for (let part = 0; part < 4 && webSocket.bufferedAmount === 0; part += 1) {
        webSocket.send(chunk);
        accepted += chunk.length;
      }
    }, TICK_MS);
    try {
      await staysFlat(() => accepted);
    } finally {
      clearInterval(tick);
      webSocket.terminate();
    }
  });

  /** Watches for a while what is accepted of a flood, and what controller and agent need for it. */
  async function staysFlat(accepted: () => number): Promise<void> {
    const pids = [deployment.controller.pid, deployment.agent!.pid];
    const before = pids.map(residentMiB);
    let seen = 0;
    let since = performance.now();
    // It stands still once everything on the way is full.
    const standsStill = (): boolean => {
      if (accepted() !== seen) since = performance.now();
      seen = accepted();
      return seen > 0 && performance.now() - since > STALLED_MS;
    };
    await waitUntil(standsStill, { ms: 6 * STALLED_MS, what: "the flood to be held back" });
    expect(accepted() / 1024 / 1024, "MiB accepted").to.be.below(STALLED_MIB);
    for (const [index, pid] of pids.entries()) {
      expect(residentMiB(pid) - before[index]!, "MiB grown").to.be.below(GROWTH_MIB);
    }
  }
});

/** Writes as fast as it is taken, and counts. */
async function flood(write: (chunk: Buffer) => boolean, socket: Socket, count: (bytes: number) => void): Promise<void> {
  const chunk = Buffer.alloc(256 * 1024);
  while (!socket.destroyed) {
    const taken = write(chunk);
    count(chunk.length);
    if (!taken) await new Promise((resolve) => socket.once("drain", resolve).once("close", resolve));
  }
}
