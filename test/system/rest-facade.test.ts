// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import type { DemoMachine } from "../../demo/demo-machine.js";
import { defineAndStart } from "../../demo/demo-machine.js";
import { Deployment } from "../harness/deployment.js";
import { sharedLibvirtd } from "../harness/hypervisor.js";
import { outputOf } from "../harness/run-command.js";

describe("the REST facade", function () {
  this.timeout(120_000);
  let deployment: Deployment;
  let machine: DemoMachine;

  before(async () => {
    const libvirtd = await sharedLibvirtd();
    machine = await defineAndStart(libvirtd, { name: "facade", displays: ["spice-tcp"] });
    deployment = await Deployment.start({ libvirtUri: libvirtd.uri });
    await deployment.knows(machine.uuid);
  });
  after(() => deployment.stop());

  /** Runs Debian's client of OpenStack, as an operator would. */
  function openstack(...args: string[]): Promise<string> {
    const endpoint = `http://${deployment.gateway}/v2.1`;
    const options = ["--os-auth-type", "admin_token", "--os-token", "demo", "--os-endpoint", endpoint];
    return outputOf("openstack", [...options, ...args]);
  }

  describe("to Debian's openstack command", () => {
    for (const by of ["name", "uuid"] as const) {
      it(`gives a console URL by ${by}`, async () => {
        const out = await openstack("console", "url", "show", "--spice", machine[by], "-f", "json");
        expect(JSON.parse(out)).to.include({ protocol: "spice", type: "spice-html5" });
      });
    }
  });
});
