// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { PrivateLibvirtd } from "../../../demo/private-libvirtd.js";

const PROGRAM = fileURLToPath(new URL("../../harness/libvirt-exit-program.js", import.meta.url));
const LEAVE_MS = 3_000;

describe("A process whose workers wait for a stopped libvirtd", function () {
  this.timeout(60_000);
  const libvirtd = new PrivateLibvirtd();

  before(() => libvirtd.start());
  after(() => libvirtd.stop());
  afterEach(() => libvirtd.kill("SIGCONT"));

  const ways = [
    { way: "exit", code: 3, what: "ends by process.exit, with its code" },
    { way: "throw", code: 1, what: "ends by an uncaught exception" },
    { way: "exit-now", code: 4, what: "ends by exitNow, with its code" },
  ];
  for (const { way, code, what } of ways) {
    it(what, async () => {
      const child = spawn(process.execPath, [PROGRAM, libvirtd.uri, way], { stdio: ["pipe", "pipe", "ignore"] });
      const exited = once(child, "exit");
      await once(child.stdout, "data");
      libvirtd.kill("SIGSTOP");
      const begun = performance.now();
      child.stdin.write("leave\n");
      const timer = setTimeout(() => child.kill("SIGKILL"), LEAVE_MS);
      expect(await exited).to.deep.equal([code, null]);
      clearTimeout(timer);
      expect(performance.now() - begun).to.be.lessThan(LEAVE_MS);
    });
  }
});
