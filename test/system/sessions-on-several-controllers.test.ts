// SPDX-License-Identifier: Apache-2.0
// Any controller takes any channel of any session: what they know of each other they know from Postgres.
import { expect } from "chai";
import type { DemoMachine } from "../../demo/demo-machine.js";
import { defineAndStart } from "../../demo/demo-machine.js";
import { EndReason } from "../../proto/gen/spicegate/session/v1/session.js";
import { Cluster } from "../harness/cluster.js";
import type { Deployment } from "../harness/deployment.js";
import { callUnary } from "../harness/grpc-client.js";
import { sharedLibvirtd } from "../harness/hypervisor.js";
import { responseOf } from "../harness/inventory-calls.js";
import { SPICE_CHANNEL } from "../harness/spice-wire.js";
import { Viewer } from "../harness/viewer.js";

describe("Several controllers", function () {
  this.timeout(60_000);
  let cluster: Cluster;
  let machine: DemoMachine;

  before(async () => {
    const libvirtd = await sharedLibvirtd();
    machine = await defineAndStart(libvirtd, { name: "several-controllers", displays: ["spice-none"] });
    cluster = await Cluster.start({ controllers: 3, hosts: { "host-1": libvirtd.uri } });
    await cluster.knows(machine.uuid);
  });
  after(() => cluster.stop());

  /** The same viewer at another controller. */
  const through = (viewer: Viewer, { proxy }: Deployment): Viewer => new Viewer(proxy, viewer.sessionId, viewer.cookie);

  it("share a session: main on one, display and inputs on another, and a third ends all of them in two seconds", async () => {
    const viewer = await cluster.at(2).openConsole(machine.uuid);
    const { main, connectionId } = await through(viewer, cluster.at(0)).joinMain();
    const there = through(viewer, cluster.at(1));
    const others = [
      await there.join(SPICE_CHANNEL.display, connectionId),
      await there.join(SPICE_CHANNEL.inputs, connectionId),
    ];
    const asked = performance.now();
    const terminate = cluster.at(2).session.terminateSession.bind(cluster.at(2).session);
    responseOf(await callUnary(terminate, { sessionId: viewer.sessionId }));
    for (const socket of [main, ...others]) {
      expect(await socket.ends()).to.deep.equal({ code: 4001, reason: "TERMINATED" });
    }
    expect(performance.now() - asked, "ms until the last channel was closed").to.be.below(2_000);
    for (const controller of cluster.controllers) {
      expect(await through(viewer, controller).status()).to.deep.equal({ state: "ended", reason: "TERMINATED" });
      expect((await controller.sessionOf(viewer)).endReason).to.equal(EndReason.END_REASON_TERMINATED);
    }
  });

  it("redeem each other's tokens, once", async () => {
    const { url } = responseOf(await cluster.at(0).getConsole(machine.uuid));
    expect(url).to.match(new RegExp(`^http://${cluster.proxy.address}/console#token=`));
    const token = url.split("=")[1]!;
    const opened = await Promise.allSettled(cluster.controllers.map(({ proxy }) => Viewer.open(proxy, token)));
    expect(opened.filter(({ status }) => status === "fulfilled")).to.have.length(1);
  });

  it("let viewers of one machine take turns, whichever of them they come through", async () => {
    const older = await cluster.at(0).openConsole(machine.uuid);
    const newer = await cluster.at(1).openConsole(machine.uuid);
    const first = await older.joinMain();
    const inputs = await through(older, cluster.at(2)).join(SPICE_CHANNEL.inputs, first.connectionId);
    const second = await newer.joinMain();
    for (const socket of [first.main, inputs]) {
      expect(await socket.ends()).to.deep.equal({ code: 1000, reason: "DISPLAY_CLOSED" });
    }
    expect(await older.status()).to.include({ state: "open" });
    const again = await through(older, cluster.at(1)).joinMain();
    expect(await second.main.ends()).to.deep.equal({ code: 1000, reason: "DISPLAY_CLOSED" });
    await again.main.close();
  });
});
