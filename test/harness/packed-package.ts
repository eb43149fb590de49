// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, mkdtempSync, readFileSync, symlinkSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { PROJECT_FOLDER } from "../../demo/spicegate-programs.js";
import { outputOf } from "./run-command.js";

interface Manifest {
  readonly version: string;
  readonly dependencies: Readonly<Record<string, string>>;
}

/**
 * The npm package as somebody who installs it has it: packed, and unpacked into a folder of its own beside nothing but
 * the dependencies that it declares.
 */
export class PackedPackage {
  /** The folder of the program that uses it. */
  readonly user: string;
  /** Every file in it, by its path in the package. */
  readonly files: readonly string[];
  readonly version: string;

  private constructor(user: string, files: readonly string[], version: string) {
    this.user = user;
    this.files = files;
    this.version = version;
  }

  /** Packs what is built now. */
  static async create(): Promise<PackedPackage> {
    const user = mkdtempSync(join(tmpdir(), "spicegate-packed-"));
    // Not built anew: other tests run from the same folder.
    const pack = ["pack", "--ignore-scripts", "--loglevel=error", "--pack-destination", user];
    const tarball = join(user, (await outputOf("npm", pack, { cwd: PROJECT_FOLDER })).trim());
    const modules = join(user, "node_modules");
    const folder = join(modules, "spicegate");
    mkdirSync(folder, { recursive: true });
    await outputOf("tar", ["-xzf", tarball, "-C", folder, "--strip-components=1"]);
    const listing = (await outputOf("tar", ["-tzf", tarball])).trim().split("\n");
    const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Manifest;
    for (const name of Object.keys(manifest.dependencies)) link(modules, name);
    const files = listing.map((path) => path.replace(/^package\//, ""));
    return new PackedPackage(user, files, manifest.version);
  }

  /** The path of one of its files. */
  path(file: string): string {
    return join(this.user, "node_modules/spicegate", file);
  }

  async remove(): Promise<void> {
    await rm(this.user, { recursive: true, force: true });
  }
}

function link(modules: string, name: string): void {
  const target = join(modules, name);
  mkdirSync(dirname(target), { recursive: true });
  symlinkSync(join(PROJECT_FOLDER, "node_modules", name), target);
}
