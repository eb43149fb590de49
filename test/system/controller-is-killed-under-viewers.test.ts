// SPDX-License-Identifier: Apache-2.0
// One of two controllers is killed while people look at consoles through both.
import { expect } from "chai";
import type { BrowserContext } from "playwright-core";
import type { DemoMachine } from "../../demo/demo-machine.js";
import type { Session } from "../../proto/gen/spicegate/session/v1/session.js";
import { EndReason } from "../../proto/gen/spicegate/session/v1/session.js";
import { ConsolePage, newProfile } from "../harness/browser.js";
import { Cluster } from "../harness/cluster.js";
import { sharedLibvirtd } from "../harness/hypervisor.js";
import { responseOf } from "../harness/inventory-calls.js";
import { discardMachines, startMachines } from "../harness/machines.js";
import { sharedBrowser } from "../harness/shared-browser.js";
import { SPICE_CHANNEL } from "../harness/spice-wire.js";
import { Viewer } from "../harness/viewer.js";

const RECONNECTS_MS = 5_000;
/** Two rounds of the sweep that closes what it left behind; some time for a busy machine. */
const SWEPT_MS = 25_000;
const NETWORK_LOSS = { code: 1006, reason: "" };

describe("A controller that is killed under viewers", function () {
  this.timeout(120_000);
  let cluster: Cluster;
  let machines: Record<"killed" | "other" | "browser", DemoMachine>;
  let profile: BrowserContext;

  before(async () => {
    const libvirtd = await sharedLibvirtd();
    const display = ["spice-none"] as const;
    machines = await startMachines(libvirtd, { killed: display, other: display, browser: display });
    // The balancer sends everybody to the one that will be killed, as long as it lives.
    cluster = await Cluster.start({ controllers: 2, hosts: { "host-1": libvirtd.uri }, order: "first" });
    for (const { uuid } of Object.values(machines)) await cluster.knows(uuid);
    profile = await newProfile(await sharedBrowser());
  });
  after(async () => {
    await profile.close();
    await cluster.stop();
    await discardMachines(await sharedLibvirtd(), Object.values(machines));
  });

  it("takes no session with it: its viewers are at the other one in five seconds, whose own notice nothing", async () => {
    const [killed, other] = [cluster.at(0), cluster.at(1)];
    const page = await ConsolePage.open(profile);
    await page.showBanner(responseOf(await other.getConsole(machines.browser.uuid)).url);
    await page.typeAndSee("before");
    const address = page.page.url();
    const viewer = await killed.openConsole(machines.killed.uuid);
    const { main, connectionId } = await viewer.joinMain();
    const inputs = await viewer.join(SPICE_CHANNEL.inputs, connectionId);
    const untouched = await (await other.openConsole(machines.other.uuid)).joinMain();

    const left = page.is("reconnecting");
    killed.controller.kill("SIGKILL");
    for (const socket of [main, inputs]) expect(await socket.ends()).to.deep.equal(NETWORK_LOSS);
    const closed = performance.now();
    const back = new Viewer(cluster.proxy.address, viewer.sessionId, viewer.cookie);
    const again = await back.joinMain();
    expect(performance.now() - closed, "ms until it was back").to.be.below(RECONNECTS_MS);
    await left;
    await page.is("connected", RECONNECTS_MS);
    expect(page.page.url()).to.equal(address);
    await page.typeAndSee("after");

    await killed.expireLease();
    const forsaken = ({ channels }: Session): number =>
      channels.filter(({ closeReason }) => closeReason === EndReason.END_REASON_CONTROLLER_GONE).length;
    const both = (session: Session): boolean => forsaken(session) === 2;
    const session = await other.sessionShows(viewer, both, "what the dead one carried to be closed", SWEPT_MS);
    expect(session).to.include({ openChannels: 1, endReason: EndReason.END_REASON_UNSPECIFIED });
    for (const { webSocket } of [untouched.main, again.main]) expect(webSocket.readyState).to.equal(webSocket.OPEN);
  });
});
