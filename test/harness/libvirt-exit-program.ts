// SPDX-License-Identifier: Apache-2.0
import { exitNow, LibvirtHypervisor } from "../../agent/libvirt/libvirt-hypervisor.js";
import { silentLog } from "../../src/lib/log.js";
import { untilAvailable } from "./hypervisor-status.js";

/**
 * A program that connects to the libvirt of its first argument, says "ready", and leaves in the way that its second
 * names once it is told to on standard input, while every worker is busy in libvirt.
 */
const [uri = "", way = ""] = process.argv.slice(2);
const hypervisor = new LibvirtHypervisor({ uri, log: silentLog });
await hypervisor.start();
await untilAvailable(hypervisor, true, 30_000);

process.stdin.once("data", () => {
  for (let question = 0; question < 4; question += 1) {
    hypervisor.describe("00000000-0000-4000-8000-000000000000", { ms: 60_000 }).catch(() => undefined);
  }
  // The workers get their questions first.
  setTimeout(leave, 100);
});
process.stdout.write("ready\n");

function leave(): void {
  if (way === "exit") process.exit(3);
  if (way === "exit-now") exitNow(4);
  throw new Error("uncaught on purpose");
}
