// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import { expect } from "chai";
import { ControllerCredentials } from "../../../agent/controller-credentials.js";
import { DisplayTunnels } from "../../../agent/display-tunnels.js";
import { LibvirtHypervisor } from "../../../agent/libvirt/libvirt-hypervisor.js";
import type { Perform } from "../../../agent/operations.js";
import { createOperations } from "../../../agent/operations.js";
import type { DemoMachine, DisplayKind } from "../../../demo/demo-machine.js";
import { defineAndStart, defineMachine } from "../../../demo/demo-machine.js";
import type { PrivateLibvirtd } from "../../../demo/private-libvirtd.js";
import { waitUntil } from "../../../demo/wait-until.js";
import { systemClock } from "../../../src/lib/clock.js";
import { LIBVIRT_CALL_MS } from "../../../src/lib/limits.js";
import { silentLog } from "../../../src/lib/log.js";
import { reasonOf } from "../../../src/lib/service-error.js";
import { uuidOf } from "../../fakes/domains.js";
import { FakeHypervisor } from "../../fakes/fake-hypervisor.js";
import { FakeTunnelServer } from "../../fakes/fake-tunnel-server.js";
import { sharedLibvirtd } from "../../harness/hypervisor.js";
import { untilAvailable } from "../../harness/hypervisor-status.js";
import { discardMachines } from "../../harness/machines.js";
import { openDescriptors } from "../../harness/process-facts.js";
import { qemuPid } from "../../harness/qemu-pid.js";
import { rejectionOf } from "../../harness/rejection.js";
import { greetSpice } from "../../harness/spice-link.js";
import { within } from "../../harness/within.js";

const ASK = { ms: 4_700 };
const SECRET = "s".repeat(43);
const OPENS = 200;
const AT_ONCE = 8;

describe("Displays of real machines", function () {
  this.timeout(90_000);
  let libvirtd: PrivateLibvirtd;
  let hypervisor: LibvirtHypervisor;
  let tunnels: DisplayTunnels;
  let controller: FakeTunnelServer;
  let perform: Perform;
  const machines: DemoMachine[] = [];

  before(async () => {
    libvirtd = await sharedLibvirtd();
    hypervisor = new LibvirtHypervisor({ uri: libvirtd.uri, log: silentLog });
    await hypervisor.start();
    await untilAvailable(hypervisor, true, 20_000);
  });

  beforeEach(async () => {
    tunnels = new DisplayTunnels(systemClock, new ControllerCredentials());
    controller = new FakeTunnelServer();
    await controller.start();
    const settings = { enabled: true, server_proxyclient_address: "127.0.0.1" };
    perform = createOperations({ hypervisor, settings, tunnels });
  });

  afterEach(async () => {
    await tunnels.stop();
    controller.stop();
    await discardMachines(libvirtd, machines.splice(0));
  });

  after(async () => {
    await hypervisor.stop();
    expect(hypervisor.abandonedWorkers, "no worker was given up").to.equal(0);
  });

  async function machineWith(...displays: DisplayKind[]): Promise<DemoMachine> {
    const name = `open-${machines.length}-${displays.join("-")}`;
    const machine = await defineAndStart(libvirtd, { name, displays });
    machines.push(machine);
    return machine;
  }

  async function open({ uuid: instanceUuid }: { readonly uuid: string }): Promise<void> {
    const openDisplay = { instanceUuid, tunnelAddress: controller.address, tunnelSecret: SECRET };
    await perform({ $case: "openDisplay", openDisplay }, ASK);
  }

  /** Opens a display by libvirt's descriptor and closes it again. */
  async function openAndClose({ uuid }: DemoMachine): Promise<void> {
    const socket = await hypervisor.openDisplay(uuid, 0, ASK);
    const closed = once(socket!, "close");
    socket!.destroy();
    await closed;
  }

  const pidOf = ({ name }: DemoMachine): number => qemuPid(libvirtd, name);

  for (const displays of [
    ["spice-none"],
    ["spice-socket"],
    ["spice-tcp"],
    ["spice-tls"],
    ["spice-network"],
    ["vnc-tcp", "spice-none"],
  ] as const) {
    it(`speak SPICE through a tunnel: ${displays.join(", ")}`, async () => {
      await open(await machineWith(...displays));
      const { socket } = await controller.next();
      expect(await greetSpice(socket)).to.equal("REDQ");
      const byTls = displays[0] === "spice-tls";
      expect(tunnels.opened).to.deep.equal({ fd: byTls ? 0 : 1, socket: 0, tcp: 0, tls: byTls ? 1 : 0 });
    });
  }

  it("speak SPICE without a descriptor as well, by their socket or port", async () => {
    const plain = new FakeHypervisor();
    const settings = { enabled: true, server_proxyclient_address: "127.0.0.1" };
    const openPlainly = createOperations({ hypervisor: plain, settings, tunnels });
    for (const kind of ["spice-socket", "spice-tcp", "spice-network", "spice-tls"] as const) {
      const { uuid: instanceUuid } = await machineWith(kind);
      plain.put(await hypervisor.describe(instanceUuid, ASK));
      const openDisplay = { instanceUuid, tunnelAddress: controller.address, tunnelSecret: SECRET };
      await openPlainly({ $case: "openDisplay", openDisplay }, ASK);
      expect(await greetSpice((await controller.next()).socket)).to.equal("REDQ");
    }
    expect(tunnels.opened).to.deep.equal({ fd: 0, socket: 1, tcp: 2, tls: 1 });
  });

  it("are told from a hypervisor that hands out no descriptors", () => {
    expect(hypervisor.status().info?.graphicsFd).to.equal(true);
  });

  it("show where they listen, for those who have no descriptor", async () => {
    const [bySocket, byPort] = [await machineWith("spice-socket"), await machineWith("spice-tcp")];
    const [display] = (await hypervisor.describe(bySocket.uuid, ASK)).displays;
    expect(display?.socket).to.match(/^\/.*spice\.sock$/);
    expect((await hypervisor.describe(byPort.uuid, ASK)).displays[0]).to.include({ address: "127.0.0.1" });
  });

  it("are refused where there is no domain, where it is off, and where it goes off meanwhile", async () => {
    expect(reasonOf(await rejectionOf(hypervisor.openDisplay(uuidOf(77), 0, ASK)))).to.equal("INSTANCE_NOT_FOUND");
    const off = await defineMachine(libvirtd, { name: "open-off", displays: ["spice-none"] });
    machines.push(off);
    expect(reasonOf(await rejectionOf(open(off)))).to.equal("INSTANCE_NOT_RUNNING");
    // What a caller sees that read the domain a moment before.
    expect(reasonOf(await rejectionOf(hypervisor.openDisplay(off.uuid, 0, ASK)))).to.equal("INSTANCE_NOT_RUNNING");
    expect(reasonOf(await rejectionOf(open(await machineWith("vnc-none"))))).to.equal("NO_SPICE_DISPLAY");
  });

  it(`leave no descriptors behind after ${OPENS} opens, claimed or not`, async () => {
    const machine = await machineWith("spice-none");
    await openAndClose(machine);
    const before = openDescriptors(process.pid);
    for (let round = 0; round < OPENS / AT_ONCE; round += 1) {
      await Promise.all(Array.from({ length: AT_ONCE }, () => openAndClose(machine)));
    }
    for (let round = 0; round < OPENS / AT_ONCE; round += 1) {
      const caller = new AbortController();
      const opens = Array.from({ length: AT_ONCE }, () =>
        rejectionOf(hypervisor.openDisplay(machine.uuid, 0, { ...ASK, signal: caller.signal })),
      );
      caller.abort();
      expect((await Promise.all(opens)).map(reasonOf)).to.deep.equal(Array(AT_ONCE).fill("CANCELLED"));
    }
    await openAndClose(machine);
    expect(openDescriptors(process.pid)).to.be.at.most(before);
  });

  it("end the tunnel when QEMU is killed", async () => {
    const machine = await machineWith("spice-none");
    await open(machine);
    const { socket } = await controller.next();
    await greetSpice(socket);
    const ended = once(socket, "end");
    process.kill(pidOf(machine), "SIGKILL");
    await within("the end of the tunnel", ended, 1_000);
    await waitUntil(() => tunnels.open === 0, { ms: 1_000, what: "the end of the display" });
  });

  it("of a frozen QEMU cost their callers the deadline once, nobody else anything, and open again when it goes on", async () => {
    const [frozen, other] = [await machineWith("spice-none"), await machineWith("spice-tcp")];
    const told: boolean[] = [];
    const forget = hypervisor.onStatus(({ available }) => told.push(available));
    process.kill(pidOf(frozen), "SIGSTOP");
    try {
      const begun = performance.now();
      const first = [1, 2, 3].map(() => rejectionOf(hypervisor.openDisplay(frozen.uuid, 0, { ms: 1_500 })));
      const patient = rejectionOf(hypervisor.openDisplay(frozen.uuid, 0, { ms: 3 * LIBVIRT_CALL_MS }));
      for (let round = 0; round < 20; round += 1) {
        const asked = performance.now();
        await hypervisor.describe(frozen.uuid, ASK);
        await hypervisor.describe(other.uuid, ASK);
        await openAndClose(other);
        expect(performance.now() - asked, "others wait").to.be.lessThan(250);
      }
      expect((await Promise.all(first)).map(reasonOf)).to.deep.equal(Array(3).fill("HYPERVISOR_UNAVAILABLE"));
      expect(performance.now() - begun).to.be.within(1_450, 2_000);
      // The worker is freed at the call's own deadline; from then on libvirt itself says that this QEMU is silent.
      expect(reasonOf(await patient)).to.equal("HYPERVISOR_UNAVAILABLE");
      expect(performance.now() - begun).to.be.within(LIBVIRT_CALL_MS - 50, LIBVIRT_CALL_MS + 1_000);
      const again = performance.now();
      expect(reasonOf(await rejectionOf(hypervisor.openDisplay(frozen.uuid, 0, ASK)))).to.equal(
        "HYPERVISOR_UNAVAILABLE",
      );
      expect(performance.now() - again, "refused at once").to.be.lessThan(500);
    } finally {
      process.kill(pidOf(frozen), "SIGCONT");
    }
    await waitUntil(
      () =>
        openAndClose(frozen).then(
          () => true,
          () => false,
        ),
      { ms: 2_000, what: "a display that opens again" },
    );
    forget();
    expect(told, "libvirt was never away").to.deep.equal([]);
  });
});
