// SPDX-License-Identifier: Apache-2.0
import { defineLoopbackNetwork } from "../../demo/demo-machine.js";
import { PrivateLibvirtd } from "../../demo/private-libvirtd.js";

// One libvirtd for the whole run of mocha, started by the first test file that needs it: its first start takes some
// seconds. Tests that kill or stop a libvirtd start one of their own.

let shared: Promise<PrivateLibvirtd> | undefined;

/** The libvirtd that the scenarios share; it can show SPICE with TLS and on a network. */
export function sharedLibvirtd(): Promise<PrivateLibvirtd> {
  shared ??= startLibvirtd();
  return shared;
}

/** A libvirtd like the shared one, for a test that harms it. The caller stops it. */
export async function startLibvirtd(): Promise<PrivateLibvirtd> {
  const libvirtd = new PrivateLibvirtd({ spiceTls: true });
  try {
    await libvirtd.start();
    await defineLoopbackNetwork(libvirtd);
    return libvirtd;
  } catch (error) {
    await libvirtd.stop();
    throw error;
  }
}

// Mocha runs this after the last test of the last file.
after("stop the libvirtd of the tests", async function () {
  this.timeout(20_000);
  const started = await shared;
  await started?.stop();
});
