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
// A leak of 100 bytes a call would be 11 MiB over the last three steps.
const GROWTH_MIB = 8;

describe("LibvirtHypervisor over 200,000 calls", function () {
  this.timeout(180_000);
  this.slow(120_000);

  it("keeps its memory flat", async () => {
    const uri = `test://${resolve("test/fixtures/libvirt/host.xml")}`;
    const hypervisor = new LibvirtHypervisor({ uri, log: silentLog });
    await hypervisor.start();
    await untilAvailable(hypervisor, true, 5_000);
    const rss: number[] = [];
    for (let step = 0; step < STEPS; step += 1) {
      await Promise.all(Array.from({ length: CALLERS }, () => callMany(hypervisor, CALLS_PER_STEP / CALLERS)));
      rss.push(Math.round(process.memoryUsage.rss() / MIB));
    }
    await hypervisor.stop();
    // The heaps of the workers grow to their working size at first.
    const settled = Math.min(...rss.slice(0, 2));
    expect(rss.at(-1), `MiB after each ${CALLS_PER_STEP} calls: ${rss.join(", ")}`).to.be.lessThan(
      settled + GROWTH_MIB,
    );
  });
});

/** Nine in ten about domains that exist, and one about one that does not, whose pointer and error go another way. */
async function callMany(hypervisor: LibvirtHypervisor, calls: number): Promise<void> {
  for (let call = 0; call < calls; call += 1) {
    const uuid = `00000000-0000-4000-8000-00000000000${call % 10}`;
    if (call % 10 === 0) await rejectionOf(hypervisor.describe(uuid, ASK));
    else await hypervisor.describe(uuid, ASK);
  }
}
