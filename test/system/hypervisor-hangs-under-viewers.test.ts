// SPDX-License-Identifier: Apache-2.0
// libvirtd or a QEMU goes, or hangs, while viewers are connected.
import { expect } from "chai";
import type { DemoMachine } from "../../demo/demo-machine.js";
import type { PrivateLibvirtd } from "../../demo/private-libvirtd.js";
import { waitUntil } from "../../demo/wait-until.js";
import { Deployment } from "../harness/deployment.js";
import { startLibvirtd } from "../harness/hypervisor.js";
import { startMachines } from "../harness/machines.js";
import { qemuPid } from "../harness/qemu-pid.js";
import { clientLink, SPICE_CHANNEL } from "../harness/spice-wire.js";
import type { Viewer, ViewerSocket } from "../harness/viewer.js";

/** A display is given up after 5 s. */
const LATE_MS = 7_000;
const HYPERVISOR_GONE = { code: 4503, reason: "HYPERVISOR_UNAVAILABLE" };
const CROWD = 12;
const CHANNELS_EACH = 30;
const KINDS = { fd: ["spice-none"], tcp: ["spice-tcp"], other: ["spice-none"] } as const;

describe("The hypervisor hangs under viewers", function () {
  this.timeout(120_000);
  let libvirtd: PrivateLibvirtd;
  let machines: Record<keyof typeof KINDS, DemoMachine>;
  let deployment: Deployment;

  before(async () => {
    libvirtd = await startLibvirtd();
    machines = await startMachines(libvirtd, KINDS);
    deployment = await Deployment.start({ libvirtUri: libvirtd.uri });
    for (const { uuid } of Object.values(machines)) await deployment.knows(uuid);
  });
  after(async () => {
    await deployment.stop();
    await libvirtd.stop();
  });

  /** How a new channel of the machine is refused. */
  async function refused(viewer: Viewer): Promise<unknown> {
    const socket = await viewer.connect();
    socket.send(clientLink({ type: SPICE_CHANNEL.main }));
    return socket.ends(LATE_MS);
  }

  function isOpen({ webSocket }: ViewerSocket): boolean {
    return webSocket.readyState === webSocket.OPEN;
  }

  for (const [how, signal] of [
    ["killed", "SIGKILL"],
    ["frozen", "SIGSTOP"],
  ] as const) {
    it(`when libvirtd is ${how}: channels go on, new ones are refused in time, and open again afterwards`, async () => {
      const viewer = await deployment.openConsole(machines.fd.uuid);
      const newcomer = await deployment.openConsole(machines.other.uuid);
      const { main, connectionId } = await viewer.joinMain();
      const inputs = await viewer.join(SPICE_CHANNEL.inputs, connectionId);
      libvirtd.kill(signal);
      try {
        expect(await refused(newcomer)).to.deep.equal(HYPERVISOR_GONE);
        expect(await newcomer.status()).to.include({ state: "open" });
        expect([main, inputs].map(isOpen)).to.deep.equal([true, true]);
      } finally {
        if (signal === "SIGKILL") await libvirtd.start();
        else libvirtd.kill("SIGCONT");
      }
      const joins = async (): Promise<boolean> => (await deployment.getConsole(machines.other.uuid)).ok;
      await waitUntil(joins, { ms: 20_000, what: "consoles to be issued again" });
      await (await newcomer.joinMain()).main.close();
      expect([main, inputs].map(isOpen)).to.deep.equal([true, true]);
      await Promise.all([main.close(), inputs.close()]);
    });
  }

  for (const kind of ["fd", "tcp"] as const) {
    it(`when a QEMU with a ${kind} display is frozen, its own viewers wait and no others`, async () => {
      const { uuid, name } = machines[kind];
      const pid = qemuPid(libvirtd, name);
      const viewer = await deployment.openConsole(uuid);
      const other = await deployment.openConsole(machines.other.uuid);
      process.kill(pid, "SIGSTOP");
      try {
        const socket = await viewer.connect();
        socket.send(clientLink({ type: SPICE_CHANNEL.main }));
        const ended = socket.closed;
        for (let round = 0; round < 5; round += 1) {
          const began = performance.now();
          await (await other.joinMain()).main.close();
          expect(performance.now() - began, "ms of another machine's viewer").to.be.below(2_000);
        }
        if (kind === "fd") expect(await ended).to.deep.equal(HYPERVISOR_GONE);
        else await socket.close();
      } finally {
        process.kill(pid, "SIGCONT");
      }
      const joins = async (): Promise<boolean> =>
        viewer.joinMain().then(
          async ({ main }) => (await main.close(), true),
          () => false,
        );
      await waitUntil(joins, { ms: 20_000, what: "the machine's display to open again" });
    });
  }

  it("when a frozen QEMU has more viewers than its host answers at once, others have their displays", async () => {
    const { uuid, name } = machines.fd;
    const pid = qemuPid(libvirtd, name);
    const viewers = await Promise.all(Array.from({ length: CROWD }, () => deployment.openConsole(uuid)));
    const other = await deployment.openConsole(machines.other.uuid);
    const sockets: ViewerSocket[] = [];
    process.kill(pid, "SIGSTOP");
    try {
      for (const viewer of viewers) {
        const more = await Promise.all(Array.from({ length: CHANNELS_EACH }, () => viewer.connect()));
        for (const socket of more) socket.send(clientLink({ type: SPICE_CHANNEL.main }));
        sockets.push(...more);
      }
      const began = performance.now();
      await (await other.joinMain()).main.close();
      expect(performance.now() - began, "ms of another machine's viewer").to.be.below(2_000);
      const ends = await Promise.all(sockets.map((socket) => socket.ends(LATE_MS)));
      expect(new Set(ends.map(({ reason }) => reason))).to.have.all.keys("HYPERVISOR_UNAVAILABLE", "LIMITED");
    } finally {
      process.kill(pid, "SIGCONT");
    }
  });
});
