// SPDX-License-Identifier: Apache-2.0
// Three controllers are restarted one after another, as an upgrade does, while callers ask for consoles and people use them.
import { expect } from "chai";
import type { BrowserContext } from "playwright-core";
import type { DemoMachine } from "../../demo/demo-machine.js";
import { waitUntil } from "../../demo/wait-until.js";
import { DRAIN_RECONNECT_MAX_MS, DRAIN_RECONNECT_MIN_MS } from "../../src/lib/limits.js";
import { ConsolePage, newProfile } from "../harness/browser.js";
import { Cluster } from "../harness/cluster.js";
import { entriesOf } from "../harness/deployment.js";
import { sharedLibvirtd } from "../harness/hypervisor.js";
import { responseOf } from "../harness/inventory-calls.js";
import { discardMachines, startMachines } from "../harness/machines.js";
import { RetryingLoad } from "../harness/retrying-load.js";
import { sharedBrowser } from "../harness/shared-browser.js";
import { SPICE_CHANNEL } from "../harness/spice-wire.js";
import type { ViewerSocket } from "../harness/viewer.js";
import { Viewer } from "../harness/viewer.js";

const CONTROLLERS = 3;
const RECONNECTS_MS = 5_000;
/** Libvirt's own make-believe host, so that there are more agents than machines need. */
const EMPTY_HOSTS = ["host-2", "host-3", "host-4"];
const DRAINING = { code: 4009, reason: "CONTROLLER_DRAINING" };

/** A console whose channels are all on one controller. */
interface OpenConsole {
  readonly viewer: Viewer;
  readonly sockets: readonly ViewerSocket[];
}

describe("Controllers that are restarted one by one", function () {
  this.timeout(120_000);
  let cluster: Cluster;
  let consoles: OpenConsole[];
  let machines: Record<"a" | "b" | "c" | "browser", DemoMachine>;
  let profile: BrowserContext;
  let page: ConsolePage;

  before(async () => {
    const libvirtd = await sharedLibvirtd();
    const display = ["spice-none"] as const;
    machines = await startMachines(libvirtd, { a: display, b: display, c: display, browser: display });
    const empty = EMPTY_HOSTS.map((host) => [host, "test:///default"] as const);
    cluster = await Cluster.start({
      controllers: CONTROLLERS,
      hosts: { "host-1": libvirtd.uri, ...Object.fromEntries(empty) },
      controller: { proxy: { drain_seconds: 1 }, log: { level: "info" } },
      order: "first",
    });
    for (const { uuid } of Object.values(machines)) await cluster.knows(uuid);
    profile = await newProfile(await sharedBrowser());
    page = await ConsolePage.open(profile);
  });
  after(async () => {
    await profile.close();
    await cluster.stop();
    await discardMachines(await sharedLibvirtd(), Object.values(machines));
  });

  /** Opens a console of a machine at one controller. */
  async function open(number: number, { uuid }: DemoMachine): Promise<OpenConsole> {
    const viewer = await cluster.at(number).openConsole(uuid);
    const { main, connectionId } = await viewer.joinMain();
    return { viewer, sockets: [main, await viewer.join(SPICE_CHANNEL.inputs, connectionId)] };
  }

  /** Waits until each agent has a stream to each controller. */
  async function allAgentsAreBack(): Promise<void> {
    const everywhere = async (): Promise<boolean> => {
      const counts = cluster.controllers.map((controller) => controller.metric("spicegate_agents_connected"));
      return (await Promise.all(counts)).every((count) => count === EMPTY_HOSTS.length + 1);
    };
    await waitUntil(everywhere, { ms: 15_000, what: "every agent to be connected to every controller" });
  }

  /** The agents have come back at moments of their own, and not all at once. */
  function expectJitter(): void {
    const hosts = ["host-1", ...EMPTY_HOSTS];
    const lines = hosts.flatMap((host) => entriesOf(cluster.agentOf(host).logFile));
    const drained = lines.filter(({ detail }) => detail === "the controller is stopping");
    const waits = drained.map(({ waitMs }) => Number(waitMs)).sort((one, other) => one - other);
    expect(waits).to.have.length(hosts.length * CONTROLLERS);
    const [first = NaN, last = NaN] = [waits[0], waits.at(-1)];
    expect(first).to.be.at.least(DRAIN_RECONNECT_MIN_MS);
    expect(last).to.be.at.most(DRAIN_RECONNECT_MAX_MS);
    expect(last - first, "ms between the first and the last").to.be.above(DRAIN_RECONNECT_MAX_MS / 4);
  }

  /** The same session through the balancer, in the time that a person would wait. */
  async function comesBack({ viewer, sockets }: OpenConsole): Promise<void> {
    for (const socket of sockets) expect(await socket.ends()).to.deep.equal(DRAINING);
    const closed = performance.now();
    const again = new Viewer(cluster.proxy.address, viewer.sessionId, viewer.cookie);
    const { main } = await again.joinMain();
    expect(performance.now() - closed, "ms until it was back").to.be.below(RECONNECTS_MS);
    await main.close();
  }

  it("answer every request, lose no console but for a moment, and get their agents back one by one", async () => {
    consoles = await Promise.all([open(0, machines.a), open(1, machines.b), open(2, machines.c)]);
    await page.showBanner(responseOf(await cluster.at(0).getConsole(machines.browser.uuid)).url);
    await page.typeAndSee("before");
    const address = page.page.url();
    const load = RetryingLoad.start(cluster, machines.a.uuid);
    // The balancer sends the page to the first that is ready.
    let pageAt = 0;
    try {
      for (const [number, { controller }] of cluster.controllers.entries()) {
        await load.goesOn();
        const pageLeaves = number === pageAt ? page.is("reconnecting") : undefined;
        const stopping = controller.stop();
        await pageLeaves;
        if (pageLeaves) await page.is("connected", RECONNECTS_MS);
        await comesBack(consoles[number]!);
        await stopping;
        for (const { webSocket } of consoles.slice(number + 1).flatMap(({ sockets }) => sockets)) {
          expect(webSocket.readyState).to.equal(webSocket.OPEN);
        }
        await controller.start();
        if (pageLeaves) pageAt = number === 0 ? 1 : 0;
      }
      await allAgentsAreBack();
      await load.goesOn();
    } finally {
      await load.stop();
    }
    expect(load.failures).to.deep.equal([]);
    expect(load.retried, "requests that were answered by another").to.be.above(0);
    expect(load.mostRefusals, "controllers that refused the same request").to.equal(1);
    expectJitter();
    expect(page.page.url()).to.equal(address);
    await page.typeAndSee("after");
    // Chromium's own line where a controller stops while it is asked for a WebSocket.
    expect(page.errors.filter((line) => !line.includes("WebSocket"))).to.deep.equal([]);
  });
});
