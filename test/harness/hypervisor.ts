// SPDX-License-Identifier: Apache-2.0
import { defineLoopbackNetwork } from "../../demo/demo-machine.js";
import { PrivateLibvirtd } from "../../demo/private-libvirtd.js";
import { stopAtEnd } from "./shared-parts.js";

// One libvirtd for each process of a run, started by the first test file that needs it: its first start takes some
// seconds. Tests that kill or stop a libvirtd start one of their own.

let shared: Promise<PrivateLibvirtd> | undefined;

/** The libvirtd that the scenarios share; it can show SPICE with TLS and on a network. */
export function sharedLibvirtd(): Promise<PrivateLibvirtd> {
  shared ??= startShared();
  return shared;
}

async function startShared(): Promise<PrivateLibvirtd> {
  const libvirtd = await startLibvirtd();
  stopAtEnd(() => libvirtd.stop());
  return libvirtd;
}

/** A libvirtd like the shared one, for a test that harms it. The caller stops it. */
export async function startLibvirtd(): Promise<PrivateLibvirtd> {
  const libvirtd = new PrivateLibvirtd({ spiceTls: true, emulated: true });
  try {
    await libvirtd.start();
    await defineLoopbackNetwork(libvirtd);
    return libvirtd;
  } catch (error) {
    await libvirtd.stop();
    throw error;
  }
}
