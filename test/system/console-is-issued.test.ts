// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import type { DemoMachine } from "../../demo/demo-machine.js";
import { defineAndStart } from "../../demo/demo-machine.js";
import { Deployment } from "../harness/deployment.js";
import { callUnary } from "../harness/grpc-client.js";
import { sharedLibvirtd } from "../harness/hypervisor.js";
import { tokenOf } from "../harness/viewer.js";

describe("a console is issued", function () {
  this.timeout(60_000);
  let deployment: Deployment;
  let machine: DemoMachine;

  before(async () => {
    const libvirtd = await sharedLibvirtd();
    machine = await defineAndStart(libvirtd, { name: "issued", displays: ["spice-tcp"] });
    deployment = await Deployment.start({ libvirtUri: libvirtd.uri });
    await deployment.knows(machine.uuid);
  });
  after(() => deployment.stop());

  it("gives a URL with a token of 256 random bits, its type and its expiry", async () => {
    const result = await deployment.getConsole(machine.uuid.toUpperCase());
    if (!result.ok) throw new Error(result.failure.message);
    expect(result.response.url).to.match(/^http:\/\/127\.0\.0\.1:\d+\/console#token=[\w-]{43}$/);
    expect(new URL(result.response.url).host).to.equal(deployment.proxy);
    expect(result.response.consoleType).to.equal("spice-html5");
    const seconds = (Number(result.response.expiresAt) - Date.now()) / 1_000;
    expect(seconds).to.be.within(590, 601);
  });

  it("leaves a line in the log, as every audit event does", async () => {
    const requestId = "issued-line";
    await deployment.getConsole(machine.uuid, { headers: { "x-request-id": requestId } });
    const line = await deployment.logged({ audit: "issued", requestId });
    expect(line).to.include({ instance: machine.uuid, subject: "loopback", client: "127.0.0.1" });
  });

  it("gives another token each time and leaves the first one usable", async () => {
    const urls = [await deployment.getConsole(machine.uuid), await deployment.getConsole(machine.uuid)].map((result) =>
      result.ok ? result.response.url : "",
    );
    expect(new Set(urls).size).to.equal(2);
    const lookup = deployment.console.lookupConsoleToken.bind(deployment.console);
    for (const url of urls) {
      const result = await callUnary(lookup, { token: tokenOf(url) });
      expect(result).to.have.nested.property("response.instanceUuid", machine.uuid);
    }
  });
});
