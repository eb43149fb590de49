// SPDX-License-Identifier: Apache-2.0
import { resolve } from "node:path";
import { expect } from "chai";
import { LibvirtHypervisor } from "../../../agent/libvirt/libvirt-hypervisor.js";
import { LIBVIRT_CALL_MS } from "../../../src/lib/limits.js";
import { silentLog } from "../../../src/lib/log.js";
import { untilAvailable } from "../../harness/hypervisor-status.js";
import { rejectionOf } from "../../harness/rejection.js";

const STEPS = 5;
const CALLS_PER_STEP = 40_000;
const CALLERS = 8;
const ASK = { ms: LIBVIRT_CALL_MS };
const MIB = 1024 * 1024;
// The heaps of Node's threads come and go by some 20 MiB, and now and then by more, so the lower of two steps counts. The
// smallest leak there can be, a domain pointer's 70 bytes in each of the 200,000 lookups of a step, adds 42 MiB between
// the first two and the last two of five steps.
const GROWTH_MIB = 32;

describe("LibvirtHypervisor over 200,000 calls", function () {
  this.timeout(300_000);
  this.slow(120_000);

  it("keeps its memory flat", async () => {
    const uri = `test://${resolve("test/fixtures/libvirt/host.xml")}`;
    const hypervisor = new LibvirtHypervisor({ uri, log: silentLog });
    await hypervisor.start();
    await untilAvailable(hypervisor, true, 20_000);
    const rss: number[] = [];
    for (let step = 0; step < STEPS; step += 1) {
      await Promise.all(Array.from({ length: CALLERS }, () => callMany(hypervisor, CALLS_PER_STEP / CALLERS)));
      rss.push(Math.round(process.memoryUsage.rss() / MIB));
    }
    await hypervisor.stop();
    const [before, after] = [Math.min(...rss.slice(0, 2)), Math.min(...rss.slice(-2))];
    expect(after, `MiB after each ${CALLS_PER_STEP} calls: ${rss.join(", ")}`).to.be.lessThan(before + GROWTH_MIB);
  });
});

/** Every second call lists all nine; of the others one in ten is about a domain that does not exist. */
async function callMany(hypervisor: LibvirtHypervisor, calls: number): Promise<void> {
  for (let call = 0; call < calls; call += 1) {
    const number = Math.floor(call / 2) % 10;
    if (call % 2 === 0) await hypervisor.describeAll(ASK);
    else if (number === 0) await rejectionOf(hypervisor.describe(uuidOf(number), ASK));
    else await hypervisor.describe(uuidOf(number), ASK);
  }
}

const uuidOf = (number: number): string => `00000000-0000-4000-8000-00000000000${number}`;
