// SPDX-License-Identifier: Apache-2.0
// What libvirt finds out about each QEMU, by trying it for some seconds, it keeps in files. They say for which program,
// kernel and processor they hold, and it asks again where they do not fit; so one libvirtd may have them of another.
import { copyFile, mkdir, readdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { PROJECT_FOLDER } from "./spicegate-programs.js";

/** Where they are kept from one libvirtd to the next. */
export const KEPT_CAPABILITIES = join(PROJECT_FOLDER, "node_modules/.cache/spicegate-qemu-capabilities");

/** Where libvirt has them, in the folder that is its XDG_CACHE_HOME. */
const PLACE = "libvirt/qemu/cache/capabilities";

/** Gives a libvirtd that has not been started yet what is kept, if anything is. */
export async function bringCapabilities(kept: string, cache: string): Promise<void> {
  const names = await readdir(kept).catch(() => []);
  await mkdir(join(cache, PLACE), { recursive: true, mode: 0o700 });
  for (const name of names.filter(isCapabilities)) await copyFile(join(kept, name), join(cache, PLACE, name));
}

/** Keeps what a libvirtd knows. Where that cannot be, the next one asks again. */
export async function keepCapabilities(cache: string, kept: string): Promise<void> {
  const names = await readdir(join(cache, PLACE));
  await mkdir(kept, { recursive: true });
  for (const name of names.filter(isCapabilities)) {
    // Others may read the file at this moment.
    const part = join(kept, `${name}.${process.pid}`);
    await copyFile(join(cache, PLACE, name), part);
    await rename(part, join(kept, name));
  }
}

function isCapabilities(name: string): boolean {
  return name.endsWith(".xml");
}
