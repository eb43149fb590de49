// SPDX-License-Identifier: Apache-2.0
// What GetSpiceConsole makes of the displays a machine can have. What it stored is seen by looking its token up.
import { expect } from "chai";
import type { DemoMachine } from "../../../demo/demo-machine.js";
import type { PrivateLibvirtd } from "../../../demo/private-libvirtd.js";
import type { GetSpiceConsoleResponse } from "../../../proto/gen/spicegate/console/v1/console.js";
import type { ConsoleType } from "../../../src/console/console-type.js";
import { Deployment } from "../../harness/deployment.js";
import type { CallResult } from "../../harness/grpc-client.js";
import { callUnary } from "../../harness/grpc-client.js";
import { sharedLibvirtd } from "../../harness/hypervisor.js";
import { responseOf } from "../../harness/inventory-calls.js";
import { discardMachines, startMachines } from "../../harness/machines.js";
import { expectRefusal, opens, refuses } from "./situation.js";
import { tokenOf } from "../../harness/viewer.js";

const MACHINES = {
  none: ["spice-none"],
  socket: ["spice-socket"],
  address: ["spice-tcp"],
  network: ["spice-network"],
  tls: ["spice-tls"],
  several: ["vnc-tcp", "spice-tcp"],
  vnc: ["vnc-none"],
  headless: [],
} as const;

// Not the address in any machine's XML: what proxies dial is a setting of the agent.
const ADDRESS = "127.0.0.77";

describe("GetSpiceConsole and the kinds of displays", function () {
  this.timeout(60_000);
  let libvirtd: PrivateLibvirtd;
  let deployment: Deployment;
  let machines: Record<keyof typeof MACHINES, DemoMachine>;

  before(async () => {
    libvirtd = await sharedLibvirtd();
    machines = await startMachines(libvirtd, MACHINES);
    const agent = { spice: { server_proxyclient_address: ADDRESS } };
    deployment = await Deployment.start({ libvirtUri: libvirtd.uri, agent });
    await Promise.all(Object.values(machines).map(({ uuid }) => deployment.knows(uuid)));
  });
  after(async () => {
    await deployment.stop();
    await discardMachines(libvirtd, Object.values(machines));
  });

  /** Asks for a console and compares what was stored with the ports in the live XML. */
  async function openAndCompare(
    name: keyof typeof MACHINES,
    consoleType?: ConsoleType,
  ): Promise<CallResult<GetSpiceConsoleResponse>> {
    const { uuid } = machines[name];
    const result = await deployment.getConsole(uuid, { consoleType });
    const lookup = deployment.console.lookupConsoleToken.bind(deployment.console);
    const stored = responseOf(await callUnary(lookup, { token: tokenOf(responseOf(result).url) }));
    const ports = spicePorts(await libvirtd.virsh("dumpxml", uuid));
    expect(stored).to.deep.equal({ instanceUuid: uuid, host: ADDRESS, ...ports, internalAccessPath: "" });
    return result;
  }

  const hasPorts = async (name: keyof typeof MACHINES, plain: boolean, tls: boolean): Promise<void> => {
    const { port, tlsPort } = spicePorts(await libvirtd.virsh("dumpxml", machines[name].uuid));
    expect({ plain: port > 0, tls: tlsPort > 0 }, name).to.deep.equal({ plain, tls });
  };

  it("is tried on displays that are what their names say", async () => {
    await hasPorts("none", false, false);
    await hasPorts("socket", false, false);
    await hasPorts("address", true, true);
    await hasPorts("network", true, true);
    await hasPorts("tls", false, true);
  });

  opens("listen none", () => openAndCompare("none"));
  opens("listen socket", () => openAndCompare("socket"));
  opens("listen address", () => openAndCompare("address"));
  opens("listen network", () => openAndCompare("network"));
  opens("TLS-only display", () => openAndCompare("tls"));
  opens("several graphics elements", () => openAndCompare("several"));

  opens("spice-direct, listen address", () => openAndCompare("address", "spice-direct"));
  opens("spice-direct, TLS-only display", () => openAndCompare("tls", "spice-direct"));

  const noNetwork = { answer: "NO_NETWORK_DISPLAY", says: /listens on no network.*ask for spice-html5/ } as const;
  const askDirect = (name: keyof typeof MACHINES) => () =>
    deployment.getConsole(machines[name].uuid, { consoleType: "spice-direct" });
  refuses("spice-direct, listen none", noNetwork, askDirect("none"));
  refuses("spice-direct, listen socket", noNetwork, askDirect("socket"));

  const says = /no SPICE display; add <graphics type='spice'>/;
  refuses("no SPICE display", { answer: "NO_SPICE_DISPLAY", says }, () => deployment.getConsole(machines.vnc.uuid));

  it("calls a machine without any display one without a SPICE display", async () => {
    expectRefusal(await deployment.getConsole(machines.headless.uuid), "NO_SPICE_DISPLAY", says);
  });
});

/** The ports of the SPICE element in the XML of a running domain; 0 = none. */
function spicePorts(xml: string): { port: number; tlsPort: number } {
  const element = /<graphics type='spice'[^>]*>/.exec(xml)?.[0] ?? "";
  const port = (name: string): number => Math.max(0, Number(new RegExp(` ${name}='(-?\\d+)'`).exec(element)?.[1] ?? 0));
  return { port: port("port"), tlsPort: port("tlsPort") };
}
