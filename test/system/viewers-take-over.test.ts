// SPDX-License-Identifier: Apache-2.0
// A machine shows its display to one viewer: what the one before sees when the next one comes, and what is left of viewers
// that come and go.
import { expect } from "chai";
import type { DemoMachine } from "../../demo/demo-machine.js";
import { defineAndStart } from "../../demo/demo-machine.js";
import { waitUntil } from "../../demo/wait-until.js";
import { Deployment } from "../harness/deployment.js";
import { sharedLibvirtd } from "../harness/hypervisor.js";
import { openDescriptors, residentMiB } from "../harness/process-facts.js";
import { SPICE_CHANNEL } from "../harness/spice-wire.js";

const TIMES = 200;
const DESCRIPTORS = 10;
const GROWTH_MIB = 64;

describe("Viewers of one machine", function () {
  this.timeout(120_000);
  let deployment: Deployment;
  let machine: DemoMachine;

  before(async () => {
    const libvirtd = await sharedLibvirtd();
    machine = await defineAndStart(libvirtd, { name: "take-over", displays: ["spice-none"] });
    deployment = await Deployment.start({ libvirtUri: libvirtd.uri, controller: { log: { level: "info" } } });
    await deployment.knows(machine.uuid);
  });
  after(() => deployment.stop());

  it("take turns: the newer one has the display, the older one hears that it was closed and may come back", async () => {
    const [older, newer] = [await deployment.openConsole(machine.uuid), await deployment.openConsole(machine.uuid)];
    const first = await older.joinMain();
    const inputs = await older.join(SPICE_CHANNEL.inputs, first.connectionId);
    const second = await newer.joinMain();
    for (const socket of [first.main, inputs]) {
      expect(await socket.ends()).to.deep.equal({ code: 1000, reason: "DISPLAY_CLOSED" });
    }
    expect(await older.status()).to.include({ state: "open" });
    expect(second.main.webSocket.readyState).to.equal(second.main.webSocket.OPEN);
    const again = await older.joinMain();
    expect(await second.main.ends()).to.deep.equal({ code: 1000, reason: "DISPLAY_CLOSED" });
    await again.main.close();
  });

  it("come back two hundred times as fast as they can, and leave nothing behind", async () => {
    const pids = [deployment.controller.pid, deployment.agent!.pid];
    const before = pids.map((pid) => ({ memory: residentMiB(pid), descriptors: openDescriptors(pid) }));
    const viewer = await deployment.openConsole(machine.uuid);
    for (let time = 0; time < TIMES; time += 1) {
      const { main } = await viewer.joinMain();
      // As often without a goodbye as with one.
      if (time % 2 === 0) main.webSocket.terminate();
      else main.webSocket.close();
    }
    await deployment.sessionShows(viewer, ({ openChannels }) => openChannels === 0, "no open channel");
    for (const [index, pid] of pids.entries()) {
      const back = (): boolean => openDescriptors(pid) <= before[index]!.descriptors + DESCRIPTORS;
      await waitUntil(back, { ms: 10_000, what: "the descriptors to be closed" });
      expect(residentMiB(pid) - before[index]!.memory, "MiB grown").to.be.below(GROWTH_MIB);
    }
    await (await viewer.joinMain()).main.close();
  });

  it("come back all at once, and one of them has the display in the end", async () => {
    const viewers = await Promise.all(Array.from({ length: 20 }, () => deployment.openConsole(machine.uuid)));
    const joined = await Promise.allSettled(viewers.map((viewer) => viewer.joinMain()));
    const holders = (): number =>
      joined.filter((one) => one.status === "fulfilled" && one.value.main.webSocket.readyState === 1).length;
    await waitUntil(() => holders() <= 1, { ms: 10_000, what: "all but one to lose the display" });
    expect(holders()).to.equal(1);
    await (await viewers[0]!.joinMain()).main.close();
  });
});
