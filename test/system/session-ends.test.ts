// SPDX-License-Identifier: Apache-2.0
// What ends a session, what only its channels, and what viewers are told of it.
import { expect } from "chai";
import type { DemoMachine } from "../../demo/demo-machine.js";
import { defineAndStart } from "../../demo/demo-machine.js";
import type { PrivateLibvirtd } from "../../demo/private-libvirtd.js";
import { PowerState } from "../../proto/gen/spicegate/inventory/v1/inventory.js";
import { EndReason } from "../../proto/gen/spicegate/session/v1/session.js";
import { Deployment } from "../harness/deployment.js";
import { callUnary } from "../harness/grpc-client.js";
import { sharedLibvirtd } from "../harness/hypervisor.js";
import { reaches, register, remove, responseOf } from "../harness/inventory-calls.js";
import { qemuPid } from "../harness/qemu-pid.js";
import { SPICE_CHANNEL } from "../harness/spice-wire.js";
import type { Viewer, ViewerSocket } from "../harness/viewer.js";
import { refusalOf } from "../harness/viewer.js";

describe("A session", function () {
  this.timeout(60_000);
  let libvirtd: PrivateLibvirtd;
  let machine: DemoMachine;
  let deployment: Deployment;
  let viewer: Viewer;
  let main: ViewerSocket;
  let inputs: ViewerSocket;

  before(async () => {
    libvirtd = await sharedLibvirtd();
    machine = await defineAndStart(libvirtd, { name: "session-ends", displays: ["spice-none"] });
    deployment = await Deployment.start({ libvirtUri: libvirtd.uri, controller: { proxy: { drain_seconds: 1 } } });
    await deployment.knows(machine.uuid);
  });
  after(() => deployment.stop());

  beforeEach(async () => {
    await reaches(deployment, machine.uuid, PowerState.POWER_STATE_RUNNING);
    viewer = await deployment.openConsole(machine.uuid);
    const joined = await viewer.joinMain();
    main = joined.main;
    inputs = await viewer.join(SPICE_CHANNEL.inputs, joined.connectionId);
  });

  /** Both channels are closed with this code, the session has ended for that reason, and cannot be joined again. */
  async function endsWith(code: number, reason: keyof typeof EndReason, ms = 10_000): Promise<void> {
    const name = reason.replace("END_REASON_", "");
    const closed = await Promise.all([main.ends(ms), inputs.ends(ms)]);
    expect(closed).to.deep.equal([
      { code, reason: name },
      { code, reason: name },
    ]);
    const session = await deployment.sessionShows(viewer, ({ endedAt }) => endedAt !== undefined, "its end");
    expect(session.endReason).to.equal(EndReason[reason]);
    expect(await viewer.status()).to.deep.equal({ state: "ended", reason: name });
    const refusal = await refusalOf(viewer.connect());
    expect(refusal.status).to.equal(410);
  }

  /** Both channels are closed with this code, and the session can be joined again. */
  async function losesChannels(code: number, reason: string, ms = 20_000): Promise<void> {
    const closed = await Promise.all([main.ends(ms), inputs.ends(ms)]);
    for (const end of closed) expect(end).to.deep.equal({ code, reason });
  }

  it("is terminated over the API within two seconds, and says by whom", async () => {
    const terminate = deployment.session.terminateSession.bind(deployment.session);
    const asked = performance.now();
    const { session } = responseOf(await callUnary(terminate, { sessionId: viewer.sessionId }));
    expect(session).to.include({ endReason: EndReason.END_REASON_TERMINATED, endedBy: "loopback" });
    await endsWith(4001, "END_REASON_TERMINATED");
    expect(performance.now() - asked).to.be.below(2_000);
    const again = responseOf(await callUnary(terminate, { sessionId: viewer.sessionId }));
    expect(again.session?.endedAt).to.deep.equal(session?.endedAt);
  });

  it("is ended by its viewer", async () => {
    expect((await viewer.request("DELETE", "")).status).to.equal(204);
    await endsWith(4001, "END_REASON_TERMINATED");
  });

  it("ends when the machine is stopped", async () => {
    await libvirtd.virsh("destroy", machine.uuid);
    await endsWith(4002, "END_REASON_INSTANCE_STOPPED");
    await libvirtd.virsh("start", machine.uuid);
  });

  it("ends when the machine crashes", async () => {
    process.kill(qemuPid(libvirtd, machine.name), "SIGKILL");
    await endsWith(4003, "END_REASON_INSTANCE_CRASHED");
    await libvirtd.virsh("start", machine.uuid);
  });

  it("ends when the instance is deleted", async () => {
    responseOf(await remove(deployment, machine.uuid));
    await endsWith(4004, "END_REASON_INSTANCE_DELETED");
    await register(deployment, { instanceUuid: machine.uuid });
  });

  it("outlives the agent, which only closes its channels", async () => {
    const agent = deployment.agent!;
    agent.kill("SIGKILL");
    await losesChannels(4008, "AGENT_GONE");
    expect(await viewer.status()).to.include({ state: "open" });
    await agent.start();
    await reaches(deployment, machine.uuid, PowerState.POWER_STATE_RUNNING);
    await (await viewer.joinMain()).main.close();
  });

  it("outlives a controller that is stopped, which tells its viewers", async () => {
    const { controller } = deployment;
    const stopping = controller.stop();
    await losesChannels(4009, "CONTROLLER_DRAINING");
    await stopping;
    await controller.start();
    await reaches(deployment, machine.uuid, PowerState.POWER_STATE_RUNNING);
    await (await viewer.joinMain()).main.close();
  });

  it("outlives a controller that is killed; what it carried is closed by the next", async () => {
    const { controller } = deployment;
    controller.kill("SIGKILL");
    await losesChannels(1006, "");
    await controller.start();
    await reaches(deployment, machine.uuid, PowerState.POWER_STATE_RUNNING);
    const joined = await viewer.joinMain();
    const gone = ({ closeReason }: { closeReason: EndReason }): boolean =>
      closeReason === EndReason.END_REASON_CONTROLLER_GONE;
    const shows = deployment.sessionShows(
      viewer,
      ({ channels }) => channels.filter(gone).length === 2,
      "the channels of the killed controller closed",
      45_000,
    );
    await shows;
    await joined.main.close();
  });
});
