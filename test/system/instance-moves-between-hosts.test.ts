// SPDX-License-Identifier: Apache-2.0
// A machine moves between two hosts, each a libvirtd with an agent of its own: by live migration over a unix socket, and by
// being stopped here and started there.
import { expect } from "chai";
import type { BrowserContext } from "playwright-core";
import type { DemoMachine, DisplayKind } from "../../demo/demo-machine.js";
import { defineAndStart } from "../../demo/demo-machine.js";
import type { PrivateLibvirtd } from "../../demo/private-libvirtd.js";
import { waitUntil } from "../../demo/wait-until.js";
import { EndReason } from "../../proto/gen/spicegate/session/v1/session.js";
import { ConsolePage, newProfile } from "../harness/browser.js";
import { Cluster } from "../harness/cluster.js";
import { sharedLibvirtd, startLibvirtd } from "../harness/hypervisor.js";
import { get, responseOf } from "../harness/inventory-calls.js";
import { migrateLive } from "../harness/machines.js";
import { sharedBrowser } from "../harness/shared-browser.js";
import { SPICE_CHANNEL } from "../harness/spice-wire.js";
import { postToken, tokenOf, Viewer } from "../harness/viewer.js";

const MOVED = { code: 4010, reason: "INSTANCE_MOVED" };
const RECONNECTS_MS = 5_000;

describe("An instance that moves between hosts", function () {
  this.timeout(120_000);
  let here: PrivateLibvirtd;
  let there: PrivateLibvirtd;
  let cluster: Cluster;
  let machine: DemoMachine;

  before(async () => {
    [here, there] = await Promise.all([sharedLibvirtd(), startLibvirtd()]);
    cluster = await Cluster.start({ controllers: 2, hosts: { here: here.uri, there: there.uri } });
  });
  after(async () => {
    await cluster.stop();
    await there.stop();
  });

  async function start(name: string, displays: readonly DisplayKind[]): Promise<void> {
    machine = await defineAndStart(here, { name, displays });
    await isOn("here");
  }

  /** Waits until every controller says so. */
  async function isOn(host: string): Promise<void> {
    const says = async (): Promise<boolean> => {
      const answers = await Promise.all(cluster.controllers.map((controller) => get(controller, machine.uuid)));
      return answers.every((answer) => answer.ok && answer.response.instance?.host === host);
    };
    await waitUntil(says, { ms: 10_000, what: `${machine.name} to be on host ${host}` });
  }

  it("takes its sessions along, on every controller, and leaves tokens that nobody used behind", async () => {
    await start("moves-live", ["spice-none"]);
    const [one, other] = [cluster.at(0), cluster.at(1)];
    const unused = tokenOf(responseOf(await one.getConsole(machine.uuid)).url);
    const viewer = await one.openConsole(machine.uuid);
    const { main, connectionId } = await viewer.joinMain();
    const elsewhere = new Viewer(other.proxy, viewer.sessionId, viewer.cookie);
    const inputs = await elsewhere.join(SPICE_CHANNEL.inputs, connectionId);
    await migrateLive(machine, here, there);
    for (const socket of [main, inputs]) expect(await socket.ends()).to.deep.equal(MOVED);
    await isOn("there");
    expect(await viewer.status()).to.include({ state: "open" });
    const again = await elsewhere.joinMain();
    const session = await one.sessionShows(viewer, ({ openChannels }) => openChannels === 1, "its new channel alone");
    expect(session.endReason).to.equal(EndReason.END_REASON_UNSPECIFIED);
    const reasons = session.channels.map(({ closeReason }) => closeReason);
    const { END_REASON_INSTANCE_MOVED: moved, END_REASON_UNSPECIFIED: open } = EndReason;
    expect(reasons).to.deep.equal([moved, moved, open]);
    const refused = await postToken(other.proxy, unused);
    expect(refused.body).to.include({ reason: "TOKEN_INVALID" });
    await again.main.close();
  });

  it("ends its sessions where it is stopped first, as any stop does, and opens new ones where it is started", async () => {
    await start("moves-stopped", ["spice-tcp"]);
    const viewer = await cluster.at(0).openConsole(machine.uuid);
    const { main } = await viewer.joinMain();
    const xml = await here.virsh("dumpxml", machine.uuid, "--inactive");
    await here.virsh("destroy", machine.uuid);
    await here.virsh("undefine", machine.uuid);
    expect(await main.ends()).to.deep.equal({ code: 4002, reason: "INSTANCE_STOPPED" });
    await there.define(xml);
    await there.virsh("start", machine.uuid);
    await isOn("there");
    expect(await viewer.status()).to.deep.equal({ state: "ended", reason: "INSTANCE_STOPPED" });
    await (await (await cluster.at(1).openConsole(machine.uuid)).joinMain()).main.close();
  });

  describe("in a browser", () => {
    let profile: BrowserContext;
    let page: ConsolePage;

    beforeEach(async () => {
      profile = await newProfile(await sharedBrowser());
      page = await ConsolePage.open(profile);
    });
    afterEach(() => profile.close());

    // With a port QEMU tells its viewers where the machine goes; without one it cannot.
    for (const display of ["spice-none", "spice-tcp"] as const) {
      it(`comes back by itself in five seconds, with what was on the screen: ${display}`, async () => {
        await start(`moves-${display}`, [display]);
        await page.showBanner(responseOf(await cluster.at(0).getConsole(machine.uuid)).url);
        await page.typeAndSee("before");
        const [address, lit] = [page.page.url(), await page.litPixels()];
        const left = page.is("reconnecting");
        const moving = migrateLive(machine, here, there);
        await left;
        await page.is("connected", RECONNECTS_MS);
        await moving;
        await isOn("there");
        expect(page.page.url()).to.equal(address);
        await page.lights(lit);
        await page.typeAndSee("after");
        expect(page.errors).to.deep.equal([]);
      });
    }
  });
});
