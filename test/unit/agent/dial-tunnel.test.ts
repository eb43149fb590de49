// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { ControllerCredentials } from "../../../agent/controller-credentials.js";
import { dialTunnel, parseTunnelTarget } from "../../../agent/dial-tunnel.js";
import type { Socket } from "node:net";
import { reasonOf } from "../../../src/lib/service-error.js";
import { FakeTunnelServer } from "../../fakes/fake-tunnel-server.js";
import { rejectionOf } from "../../harness/rejection.js";
import { until, within } from "../../harness/within.js";

const SECRET = "a-secret_0123456789";
const credentials = new ControllerCredentials();

describe("dialTunnel", () => {
  let controller: FakeTunnelServer;
  let dialled: Socket[];

  beforeEach(async () => {
    controller = new FakeTunnelServer();
    await controller.start();
    dialled = [];
  });

  afterEach(() => {
    for (const socket of dialled) socket.destroy();
    controller.stop();
  });

  async function dial(ms = 2_000, signal?: AbortSignal): Promise<Socket> {
    const request = { instanceUuid: "", tunnelAddress: controller.address, tunnelSecret: SECRET };
    const target = parseTunnelTarget(request, credentials);
    const socket = await dialTunnel(target, credentials, { ms, ...(signal && { signal }) });
    dialled.push(socket);
    return socket;
  }

  const noneOpen = (): Promise<void> => until("the end of the connection", () => controller.open.size === 0);

  it("asks for the upgrade as agent.proto says", async () => {
    await dial();
    const { method, path, headers } = await controller.next();
    expect({ method, path }).to.deep.equal({ method: "GET", path: "/tunnel" });
    expect(headers).to.include({
      host: controller.address,
      connection: "Upgrade",
      upgrade: "spicegate-tunnel",
      "x-spicegate-tunnel-secret": SECRET,
    });
  });

  it("keeps the bytes that come together with the answer", async () => {
    controller.firstBytes = "RFB 003.008\n";
    const socket = await dial();
    const bytes = new Promise<string>((resolve) => socket.once("data", (chunk: Buffer) => resolve(chunk.toString())));
    expect(await within("the bytes", bytes)).to.equal("RFB 003.008\n");
  });

  it("says TARGET_REFUSED to a refusal, a closed port, and a controller that hangs up", async () => {
    controller.answer = "refuse";
    const refused = await rejectionOf(dial());
    expect(reasonOf(refused)).to.equal("TARGET_REFUSED");
    expect(refused.message).to.include("403").and.not.include(SECRET);
    controller.answer = "hang up";
    expect(reasonOf(await rejectionOf(dial()))).to.equal("TARGET_REFUSED");
    await noneOpen();
    const target = { address: { host: "127.0.0.1", port: 1 }, secret: SECRET };
    expect(reasonOf(await rejectionOf(dialTunnel(target, credentials, { ms: 2_000 })))).to.equal("TARGET_REFUSED");
  });

  it("gives up a controller that says nothing at the deadline, and closes the connection", async () => {
    controller.answer = "nothing";
    const begun = performance.now();
    expect(reasonOf(await rejectionOf(dial(100)))).to.equal("TARGET_REFUSED");
    expect(performance.now() - begun).to.be.within(90, 1_000);
    await noneOpen();
  });

  it("closes the connection when it is cancelled", async () => {
    controller.answer = "nothing";
    const caller = new AbortController();
    const cancelled = rejectionOf(dial(2_000, caller.signal));
    await controller.next();
    caller.abort();
    expect(reasonOf(await cancelled)).to.equal("CANCELLED");
    await noneOpen();
  });

  it("survives a cancellation before it has begun", async () => {
    expect(reasonOf(await rejectionOf(dial(2_000, AbortSignal.abort())))).to.equal("CANCELLED");
    await noneOpen();
  });

  it("survives the errors of a tunnel that nobody has joined yet", async () => {
    const socket = await dial();
    (await controller.next()).socket.resetAndDestroy();
    socket.resume();
    await until("the end of the tunnel", () => socket.closed);
  });

  it("takes loopback addresses of both kinds", () => {
    for (const [tunnelAddress, host] of [
      ["127.0.0.1:1", "127.0.0.1"],
      ["[::1]:1", "::1"],
      ["localhost:1", "localhost"],
    ] as const) {
      const target = parseTunnelTarget({ instanceUuid: "", tunnelAddress, tunnelSecret: "s" }, credentials);
      expect(target).to.deep.equal({ address: { host, port: 1 }, secret: "s" });
    }
  });
});
