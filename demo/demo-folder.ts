// SPDX-License-Identifier: Apache-2.0
import { existsSync, linkSync, mkdirSync, readFileSync, readdirSync, rmSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isKeyAlive, ownKey } from "./process-table.js";

const OWNER = "owner";
const ONCE = /^once-(.+)$/;

/** Another demo holds the folder. */
export class DemoRunningError extends Error {
  override readonly name = "DemoRunningError";
}

/**
 * The folder of one running demo: its state, its settings, its logs, for its user alone. A demo that stays up holds the
 * folder itself; one that runs ONCE takes a folder of its own inside, so that it can run beside.
 */
export class DemoFolder {
  readonly path: string;
  readonly #top: string;

  private constructor(path: string, top: string) {
    this.path = path;
    this.#top = top;
  }

  /** Takes the folder for a demo that stays up. Throws DemoRunningError while another one lives. */
  static take(top: string): DemoFolder {
    prepare(top);
    claim(top);
    for (const entry of readdirSync(top).filter((name) => name !== OWNER && !ONCE.test(name))) {
      rmSync(join(top, entry), { recursive: true, force: true });
    }
    return new DemoFolder(top, top);
  }

  /** Makes a folder for a demo that runs ONCE. */
  static takeOnce(top: string): DemoFolder {
    prepare(top);
    const path = join(top, `once-${ownKey()}`);
    mkdirSync(path, { mode: 0o700 });
    return new DemoFolder(path, top);
  }

  /** The path of a file in it. */
  file(name: string): string {
    return join(this.path, name);
  }

  /** Writes a file that may hold secrets, and returns its path. */
  write(name: string, content: string): string {
    writeFileSync(this.file(name), content, { mode: 0o600 });
    return this.file(name);
  }

  /** Makes a folder in it, and returns its path. */
  makeFolder(name: string): string {
    mkdirSync(this.file(name), { mode: 0o700 });
    return this.file(name);
  }

  /** Gives the folder back: everything in it goes, only logs stay where somebody has to read them. */
  release(options: { readonly keepLogs: boolean }): void {
    if (!existsSync(this.path)) return;
    for (const entry of readdirSync(this.path)) {
      const keep = ONCE.test(entry) || (options.keepLogs && entry.endsWith(".log"));
      if (!keep) rmSync(this.file(entry), { recursive: true, force: true });
    }
    for (const folder of [this.path, this.#top]) removeIfEmpty(folder);
  }
}

/** Makes the folder, and removes what demos that ran ONCE and are dead left in it. */
function prepare(top: string): void {
  mkdirSync(top, { recursive: true, mode: 0o700 });
  for (const entry of readdirSync(top)) {
    const key = ONCE.exec(entry)?.[1];
    if (key !== undefined && !isKeyAlive(key)) rmSync(join(top, entry), { recursive: true, force: true });
  }
}

/** Writes our name into the folder, unless a living process has done so. */
function claim(top: string): void {
  const owner = join(top, OWNER);
  const draft = join(top, `${OWNER}-${ownKey()}`);
  writeFileSync(draft, ownKey(), { mode: 0o600 });
  try {
    if (existsSync(owner) && !isKeyAlive(readFileSync(owner, "utf8"))) rmSync(owner, { force: true });
    // A link appears with its content and never replaces another: of two demos at once, one wins.
    linkSync(draft, owner);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    throw new DemoRunningError(
      `a demo is running already; what it offers is in ${join(top, "state.json")}. Stop it with Ctrl-C where it runs, ` +
        "or use ONCE=1, which runs beside it",
      { cause: error },
    );
  } finally {
    rmSync(draft, { force: true });
  }
}

function removeIfEmpty(folder: string): void {
  if (existsSync(folder) && readdirSync(folder).length === 0) rmdirSync(folder);
}
