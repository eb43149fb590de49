// SPDX-License-Identifier: Apache-2.0
// The data path "direct": the controller dials displays itself, at real QEMUs and at what only pretends to be one.
import { expect } from "chai";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import type { AddressInfo, Server, Socket } from "node:net";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import type { DemoMachine } from "../../demo/demo-machine.js";
import { freePort } from "../../demo/ports.js";
import type { PrivateLibvirtd } from "../../demo/private-libvirtd.js";
import { waitUntil } from "../../demo/wait-until.js";
import type { SpiceEndpoint } from "../../proto/gen/spicegate/agent/v1/agent.js";
import { ListenKind } from "../../proto/gen/spicegate/agent/v1/agent.js";
import { FakeAgent, fakeDomain } from "../fakes/fake-agent.js";
import { FakeDisplay } from "../fakes/fake-display.js";
import { ConsolePage, newProfile } from "../harness/browser.js";
import { TestAuthority } from "../harness/certificates.js";
import { Deployment } from "../harness/deployment.js";
import { callUnary } from "../harness/grpc-client.js";
import { sharedLibvirtd } from "../harness/hypervisor.js";
import { responseOf } from "../harness/inventory-calls.js";
import { discardMachines, startMachines } from "../harness/machines.js";
import { qemuPid } from "../harness/qemu-pid.js";
import { sharedBrowser } from "../harness/shared-browser.js";
import { clientLink, SPICE_CHANNEL } from "../harness/spice-wire.js";
import type { Closed, Viewer } from "../harness/viewer.js";
import { tokenOf } from "../harness/viewer.js";

const REFUSED: Closed = { code: 4502, reason: "TARGET_REFUSED" };
const OPENED_BY_AGENT = 'spicegate_agent_request_seconds_count{operation="openDisplay",outcome="OK"}';
const TUNNELLED = "tunnelled";
const NAMED = "named";
const MISNAMED = "misnamed";

describe("The data path direct", function () {
  this.timeout(120_000);
  let libvirtd: PrivateLibvirtd;
  let machines: Record<"tcp" | "tls" | "none", DemoMachine>;
  let ca: string;
  let deployment: Deployment;

  before(async () => {
    libvirtd = await sharedLibvirtd();
    ca = join(libvirtd.folder, "tls/ca-cert.pem");
    machines = await startMachines(libvirtd, { tcp: ["spice-tcp"], tls: ["spice-tls"], none: ["spice-none"] });
    const hosts = {
      [TUNNELLED]: { data_path: "agent" },
      [NAMED]: { subject: "CN=127.0.0.1" },
      [MISNAMED]: { subject: "CN=another" },
    };
    deployment = await start({ ca_file: ca, hosts });
  });

  after(async () => {
    await deployment.stop();
    await discardMachines(libvirtd, Object.values(machines));
  });

  async function start(displays: Record<string, unknown>): Promise<Deployment> {
    const controller = { displays: { data_path: "direct", ...displays } };
    const started = await Deployment.start({ libvirtUri: libvirtd.uri, controller });
    for (const { uuid } of Object.values(machines)) await started.knows(uuid);
    return started;
  }

  /** A further host, whose agent says this of the display of its one machine. */
  async function hostWith(
    host: string,
    endpoint: Partial<SpiceEndpoint>,
  ): Promise<{ readonly agent: FakeAgent; readonly uuid: string }> {
    const uuid = randomUUID();
    const listen = ListenKind.LISTEN_KIND_ADDRESS;
    const spiceEndpoint = { host: "127.0.0.1", listen, port: 0, tlsPort: 0, internalAccessPath: "", ...endpoint };
    const agent = await FakeAgent.connect(deployment.agents, {
      host,
      domains: [fakeDomain(uuid)],
      answer: ({ operation }) =>
        operation?.$case === "getSpiceEndpoint"
          ? { $case: "spiceEndpoint", spiceEndpoint }
          : { $case: "consolePortValid", consolePortValid: {} },
    });
    await deployment.knows(uuid);
    return { agent, uuid };
  }

  /** The port that libvirt gave a machine's display. */
  async function portOf({ uuid }: DemoMachine, kind: "port" | "tlsPort"): Promise<number> {
    const xml = await libvirtd.virsh("dumpxml", uuid);
    return Number(new RegExp(`type='spice'[^>]* ${kind}='(\\d+)'`).exec(xml)?.[1]);
  }

  /** How a first channel ends whose display is not opened. */
  async function ending(viewer: Viewer): Promise<Closed> {
    const socket = await viewer.connect();
    socket.send(clientLink({ type: SPICE_CHANNEL.main }));
    return socket.ends();
  }

  for (const kind of ["tcp", "tls"] as const) {
    it(`opens the channels of a machine by its ${kind} port, and asks the agent for none`, async () => {
      const viewer = await deployment.openConsole(machines[kind].uuid);
      const { main, connectionId } = await viewer.joinMain();
      const inputs = await viewer.join(SPICE_CHANNEL.inputs, connectionId);
      for (const socket of [inputs, main]) await socket.close();
      expect(await deployment.metric(OPENED_BY_AGENT)).to.equal(0);
    });
  }

  it("shows a machine in a browser, and what is typed", async () => {
    const profile = await newProfile(await sharedBrowser());
    try {
      const page = await ConsolePage.open(profile);
      await page.showBanner(responseOf(await deployment.getConsole(machines.tcp.uuid)).url);
      await page.typeAndSee("direct");
      expect(page.errors).to.deep.equal([]);
    } finally {
      await profile.close();
    }
  });

  it("refuses at once a display that listens on no network", async () => {
    const result = await deployment.getConsole(machines.none.uuid);
    expect(result).to.have.nested.property("failure.reason", "NO_NETWORK_DISPLAY");
  });

  it("closes a channel whose machine has gone, and ends the session with the reason", async () => {
    const { other } = await startMachines(libvirtd, { other: ["spice-tcp"] });
    try {
      await deployment.knows(other.uuid);
      const viewer = await deployment.openConsole(other.uuid);
      const { main } = await viewer.joinMain();
      await libvirtd.virsh("destroy", other.uuid);
      expect(await main.ends()).to.deep.equal({ code: 4002, reason: "INSTANCE_STOPPED" });
    } finally {
      await discardMachines(libvirtd, [other]);
    }
  });

  it("goes on while the agent is gone; further channels wait for it", async () => {
    const viewer = await deployment.openConsole(machines.tcp.uuid);
    const { main, connectionId } = await viewer.joinMain();
    const agent = deployment.agent!;
    try {
      agent.kill("SIGKILL");
      const unavailable = async (): Promise<boolean> => {
        const result = await deployment.getConsole(machines.tcp.uuid);
        return !result.ok && result.failure.reason === "AGENT_UNAVAILABLE";
      };
      await waitUntil(unavailable, { ms: 10_000, what: "the agent to be gone" });
      const inputs = await viewer.connect();
      inputs.send(clientLink({ type: SPICE_CHANNEL.inputs, connectionId }));
      expect(await inputs.ends()).to.deep.equal({ code: 4503, reason: "AGENT_UNAVAILABLE" });
      expect(main.webSocket.readyState).to.equal(main.webSocket.OPEN);
      expect((await deployment.sessionOf(viewer)).openChannels).to.be.greaterThan(0);
    } finally {
      await agent.start();
    }
    await deployment.knows(machines.tcp.uuid);
    const joined = async (): Promise<boolean> => {
      try {
        await (await viewer.join(SPICE_CHANNEL.inputs, connectionId)).close();
        return true;
      } catch {
        return false;
      }
    };
    await waitUntil(joined, { ms: 20_000, what: "a channel through the agent that is back" });
    await main.close();
  });

  it("gives up a machine that does not answer, within the deadline", async () => {
    const { frozen } = await startMachines(libvirtd, { frozen: ["spice-tls"] });
    const pid = qemuPid(libvirtd, frozen.name);
    try {
      await deployment.knows(frozen.uuid);
      const viewer = await deployment.openConsole(frozen.uuid);
      process.kill(pid, "SIGSTOP");
      expect(await ending(viewer)).to.deep.equal(REFUSED);
      await deployment.logged({ msg: "a display was not reached", host: deployment.host });
    } finally {
      process.kill(pid, "SIGCONT");
      await discardMachines(libvirtd, [frozen]);
    }
  });

  it("leaves the hosts that say so to their agents", async () => {
    const machine = { uuid: randomUUID(), name: "tunnelled" };
    const display = await FakeDisplay.start((socket) => void socket.write("here"));
    try {
      const agent = deployment.addAgent(TUNNELLED, display.libvirtUri([machine]), `127.0.0.1:${await freePort()}`);
      await agent.start();
      await deployment.knows(machine.uuid);
      const viewer = await deployment.openConsole(machine.uuid);
      const socket = await viewer.connect();
      socket.send(clientLink({ type: SPICE_CHANNEL.main }));
      expect((await socket.read(4)).toString()).to.equal("here");
      expect(await deployment.metric(OPENED_BY_AGENT)).to.equal(1);
      await socket.close();
    } finally {
      await display.stop();
    }
  });

  describe("with a certificate that is not to be trusted", () => {
    const certificates = new TestAuthority();
    after(() => certificates.remove());

    const expectMistrust = async (at: Deployment, uuid: string): Promise<void> => {
      expect(await ending(await at.openConsole(uuid))).to.deep.equal(REFUSED);
      const { err } = await at.logged({ msg: "a display was not reached", instance: uuid });
      expect(err).to.have.property("message").that.includes("certificate is not to be trusted");
    };

    it("closes the channel: of another authority", async () => {
      const wrong = await start({ ca_file: certificates.certFile });
      try {
        await expectMistrust(wrong, machines.tls.uuid);
        const plain = await wrong.openConsole(machines.tcp.uuid);
        await (await plain.joinMain()).main.close();
      } finally {
        await wrong.stop();
      }
    });

    it("closes the channel: of another subject", async () => {
      const { agent, uuid } = await hostWith(MISNAMED, { tlsPort: await portOf(machines.tls, "tlsPort") });
      try {
        await expectMistrust(deployment, uuid);
      } finally {
        agent.close();
      }
    });

    it("takes the host's subject", async () => {
      const { agent, uuid } = await hostWith(NAMED, {
        host: "localhost",
        tlsPort: await portOf(machines.tls, "tlsPort"),
      });
      try {
        await (await (await deployment.openConsole(uuid)).joinMain()).main.close();
      } finally {
        agent.close();
      }
    });
  });

  describe("with a path behind the display's port", () => {
    let gate: Server;
    let agent: FakeAgent;
    let uuid: string;
    let status: string;
    const asked: string[] = [];

    before(async () => {
      const display = await portOf(machines.tcp, "port");
      gate = createServer((client) => admit(client, display));
      await once(gate.listen(0, "127.0.0.1"), "listening");
      const { port } = gate.address() as AddressInfo;
      ({ agent, uuid } = await hostWith("proxied", { port, internalAccessPath: "vm-7" }));
    });

    after(() => {
      agent.close();
      gate.close();
    });

    /** Answers CONNECT with the status of the moment, and leads to the machine where that is 200. */
    function admit(client: Socket, port: number): void {
      client
        .on("error", () => undefined)
        .once("data", (bytes: Buffer) => {
          asked.push(bytes.toString());
          client.write(`HTTP/1.1 ${status}\r\n\r\n`);
          if (!status.startsWith("200")) return;
          const display = connect(port, "127.0.0.1").on("error", () => undefined);
          client.pipe(display).pipe(client);
        });
    }

    it("gets to the display through CONNECT", async () => {
      status = "200 Connection established";
      const viewer = await deployment.openConsole(uuid);
      await (await viewer.joinMain()).main.close();
      expect(asked).to.deep.equal(["CONNECT vm-7 HTTP/1.1\r\n\r\n"]);
    });

    it("closes the channel where CONNECT is refused", async () => {
      status = "403 Forbidden";
      expect(await ending(await deployment.openConsole(uuid))).to.deep.equal(REFUSED);
    });

    it("tells native proxies the path", async () => {
      const { url } = responseOf(await deployment.getConsole(uuid, { consoleType: "spice-direct" }));
      const lookUp = deployment.console.lookupConsoleToken.bind(deployment.console);
      const found = responseOf(await callUnary(lookUp, { token: tokenOf(url) }));
      expect(found).to.include({ instanceUuid: uuid, host: "127.0.0.1", internalAccessPath: "vm-7" });
    });
  });
});
