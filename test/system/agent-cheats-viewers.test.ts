// SPDX-License-Identifier: Apache-2.0
// An agent that was taken over, or is broken, answers OpenDisplay with whatever it likes. Its viewers lose their channel
// in time; what belongs to others stays theirs.
import { expect } from "chai";
import { randomBytes, randomUUID } from "node:crypto";
import { waitUntil } from "../../demo/wait-until.js";
import type { AgentRequest } from "../../proto/gen/spicegate/agent/v1/agent.js";
import { FakeAgent, FAKE_ENDPOINT, fakeDomain } from "../fakes/fake-agent.js";
import type { FakeAnswer } from "../fakes/fake-agent.js";
import { Deployment } from "../harness/deployment.js";
import { openDescriptors } from "../harness/process-facts.js";
import { clientLink, SPICE_CHANNEL } from "../harness/spice-wire.js";
import { TunnelClient } from "../harness/tunnel-client.js";
import type { ViewerSocket } from "../harness/viewer.js";

const OPENED: FakeAnswer = { $case: "displayOpened", displayOpened: {} };
const TIMEOUT = { code: 4504, reason: "AGENT_TIMEOUT" };
const LATE_MS = 7_000;
const DESCRIPTORS = 10;

type Opening = Extract<AgentRequest["operation"], { $case: "openDisplay" }>["openDisplay"];

describe("An agent cheats its viewers", function () {
  this.timeout(60_000);
  const uuid = randomUUID();
  const otherUuid = randomUUID();
  const tunnels: TunnelClient[] = [];
  let deployment: Deployment;
  let cheat: FakeAgent;
  let honest: FakeAgent;
  let descriptors: number;

  before(async () => {
    deployment = await Deployment.start();
    cheat = await FakeAgent.connect(deployment.agents, { host: "cheat", domains: [fakeDomain(uuid)], answer });
    const domains = [fakeDomain(otherUuid)];
    honest = await FakeAgent.connect(deployment.agents, { host: "honest", domains, answer });
    await deployment.knows(uuid);
    await deployment.knows(otherUuid);
    descriptors = openDescriptors(deployment.controller.pid);
  });
  afterEach(() => {
    for (const tunnel of tunnels.splice(0)) tunnel.socket.destroy();
  });
  after(async () => {
    cheat.close();
    honest.close();
    await deployment.stop();
  });

  it("by saying that a display is open which never comes", async () => {
    const { socket, request } = await asked(cheat, uuid);
    cheat.reply(request, OPENED);
    expect(await socket.ends(LATE_MS)).to.deep.equal(TIMEOUT);
  });

  it("by bringing a display and never saying so", async () => {
    const { socket, opening } = await asked(cheat, uuid);
    const tunnel = dial(opening.tunnelSecret);
    await tunnel.sees("101");
    tunnel.socket.write("the machine's secrets");
    expect(await socket.ends(LATE_MS)).to.deep.equal(TIMEOUT);
    await tunnel.closed;
  });

  it("by saying that it is open, and opening it too late", async () => {
    const { socket, request, opening } = await asked(cheat, uuid);
    cheat.reply(request, OPENED);
    await socket.ends(LATE_MS);
    const tunnel = dial(opening.tunnelSecret);
    await tunnel.sees("403");
    await tunnel.closed;
  });

  it("by answering twice, and differently", async () => {
    const { socket, request, opening } = await asked(cheat, uuid);
    const tunnel = dial(opening.tunnelSecret);
    cheat.reply(request, OPENED);
    cheat.reply(request, OPENED);
    cheat.reply(request, { $case: "failure", failure: { reason: 1, message: "no" } });
    tunnel.socket.write("hello");
    expect((await socket.read(5)).toString()).to.equal("hello");
    await socket.close();
    await tunnel.closed;
  });

  it("by answering with something else while its display is there", async () => {
    const { socket, request, opening } = await asked(cheat, uuid);
    const tunnel = dial(opening.tunnelSecret);
    await tunnel.sees("101");
    cheat.reply(request, FAKE_ENDPOINT);
    expect(await socket.ends()).to.deep.equal({ code: 4500, reason: "INTERNAL" });
    await tunnel.closed;
  });

  it("by going on after it was told to stop", async () => {
    const { socket, request, opening } = await asked(cheat, uuid);
    socket.webSocket.terminate();
    // The channels before were cancelled too.
    while ((await cheat.next("cancel")).cancel.id !== request.id);
    const tunnel = dial(opening.tunnelSecret);
    await tunnel.sees("403");
    cheat.reply(request, OPENED);
    await tunnel.closed;
  });

  it("by dialling a second time with the same secret", async () => {
    const { socket, request, opening } = await asked(cheat, uuid);
    const first = dial(opening.tunnelSecret);
    await first.sees("101");
    const second = dial(opening.tunnelSecret);
    await second.sees("403");
    cheat.reply(request, OPENED);
    first.socket.write("hello");
    expect((await socket.read(5)).toString()).to.equal("hello");
    await socket.close();
  });

  it("by guessing secrets, which brings it to nobody's display", async () => {
    const { socket, request, opening } = await asked(honest, otherUuid);
    const guesses = Array.from({ length: 500 }, () => dial(randomBytes(32).toString("base64url")));
    await Promise.all(guesses.map((guess) => guess.sees("403")));
    const tunnel = dial(opening.tunnelSecret);
    honest.reply(request, OPENED);
    tunnel.socket.write("hello");
    expect((await socket.read(5)).toString()).to.equal("hello");
    await socket.close();
  });

  it("by flooding before anybody listens, which its own connection has to wait for", async () => {
    const { socket, request, opening } = await asked(cheat, uuid);
    const tunnel = dial(opening.tunnelSecret);
    await tunnel.sees("101");
    const chunk = Buffer.alloc(1024 * 1024, 1);
    const chunks = 8;
    for (let sent = 0; sent < chunks; sent += 1) tunnel.socket.write(chunk);
    cheat.reply(request, OPENED);
    expect((await socket.read(chunks * chunk.length)).every((byte) => byte === 1)).to.equal(true);
    await socket.close();
    await tunnel.closed;
  });

  it("and leaves nothing behind, and others their console", async () => {
    const { socket, request, opening } = await asked(honest, otherUuid);
    const tunnel = dial(opening.tunnelSecret);
    honest.reply(request, OPENED);
    tunnel.socket.write("hello");
    expect((await socket.read(5)).toString()).to.equal("hello");
    await socket.close();
    await tunnel.closed;
    const back = (): boolean => openDescriptors(deployment.controller.pid) <= descriptors + DESCRIPTORS;
    await waitUntil(back, { ms: 10_000, what: "the descriptors to be closed" });
  });

  function dial(secret: string): TunnelClient {
    const tunnel = new TunnelClient(deployment.tunnel).request(secret);
    tunnels.push(tunnel);
    return tunnel;
  }

  /** A viewer whose channel waits for this agent's answer. */
  async function asked(
    agent: FakeAgent,
    instanceUuid: string,
  ): Promise<{ readonly socket: ViewerSocket; readonly request: AgentRequest; readonly opening: Opening }> {
    const viewer = await deployment.openConsole(instanceUuid);
    const socket = await viewer.connect();
    socket.send(clientLink({ type: SPICE_CHANNEL.main }));
    for (;;) {
      const { request } = await agent.next("request");
      const { operation } = request;
      if (operation?.$case === "openDisplay") return { socket, request, opening: operation.openDisplay };
    }
  }
});

/** Consoles are in order; displays are opened by the test. */
function answer({ operation }: AgentRequest): FakeAnswer {
  if (operation?.$case === "getSpiceEndpoint") return FAKE_ENDPOINT;
  if (operation?.$case === "validateConsolePort") return { $case: "consolePortValid", consolePortValid: {} };
  return undefined;
}
