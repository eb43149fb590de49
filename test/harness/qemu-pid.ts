// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { PrivateLibvirtd } from "../../demo/private-libvirtd.js";

/** The process behind a running machine, to freeze or kill it. */
export function qemuPid(libvirtd: PrivateLibvirtd, name: string): number {
  return Number(readFileSync(join(libvirtd.folder, `run/libvirt/qemu/run/${name}.pid`), "utf8"));
}
