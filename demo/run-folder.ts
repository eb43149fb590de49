// SPDX-License-Identifier: Apache-2.0
import { execFile } from "node:child_process";
import { chmodSync, lstatSync, mkdirSync, readFileSync, readdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { isKeyAlive, killProcessesOf, ownKey } from "./process-table.js";
import { serviceUser } from "./service-user.js";

// A run folder holds all that one supervisor makes, under the system's temporary directory, since a clone may lie where
// the services' user cannot enter. Its name says which process owns it (pid and start time, base 36), so whoever comes
// later can tell a living owner's folder from one that a kill -9 left behind, without any record that could be stale.

// Short, since sockets deep inside have 107 characters for their whole path.
const NAME = /^spicegate-([0-9a-z]+-[0-9a-z]+)-\d+$/;
const MOST_PER_PROCESS = 10_000;

/** A run folder of this process: others may pass through it, not list it. The caller removes it. */
export function createRunFolder(): string {
  for (let number = 0; number < MOST_PER_PROCESS; number++) {
    const folder = join(tmpdir(), `spicegate-${ownKey()}-${number}`);
    if (!makeFolder(folder)) continue;
    // Not by mkdir's mode, which the umask would narrow.
    chmodSync(folder, 0o711);
    return folder;
  }
  throw new Error(`no free name for a folder in ${tmpdir()}`);
}

/** Kills every process that belongs to the folder, then removes it. A folder that is not there is no error. */
export async function removeRunFolder(folder: string): Promise<void> {
  await killProcessesOf(folder);
  await removeSharedMemory(folder);
  await rm(folder, { recursive: true, force: true, maxRetries: 3 });
}

/** Removes what supervisors that were killed left behind, processes and folders; says how many folders that were. */
export async function sweepRunFolders(): Promise<number> {
  const left = readdirSync(tmpdir()).filter(isLeftBehind);
  for (const name of left) await removeRunFolder(join(tmpdir(), name));
  return left.length;
}

function makeFolder(folder: string): boolean {
  try {
    mkdirSync(folder);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

function isLeftBehind(name: string): boolean {
  const owner = NAME.exec(name)?.[1];
  if (owner === undefined || isKeyAlive(owner)) return false;
  // Anybody may make folders in /tmp: only our own may decide what is killed.
  const stat = lstatSync(join(tmpdir(), name), { throwIfNoEntry: false });
  return stat?.isDirectory() === true && stat.uid === process.getuid?.();
}

/**
 * Postgres holds one System V shared memory segment; killed, it leaves that behind for the machine's whole life. The
 * segment's number comes from a file of the services' user, so it is that user who removes it.
 */
async function removeSharedMemory(folder: string): Promise<void> {
  const id = sharedMemoryId(folder);
  if (id === undefined) return;
  // Fails where Postgres has removed it itself, which is the usual case.
  await promisify(execFile)("ipcrm", ["-m", id], { ...serviceUser(), timeout: 5_000 }).catch(() => undefined);
}

function sharedMemoryId(folder: string): string | undefined {
  try {
    const lines = readFileSync(join(folder, "data", "postmaster.pid"), "utf8").split("\n");
    return /^\s*\d+\s+(\d+)/.exec(lines[6] ?? "")?.[1];
  } catch {
    return undefined;
  }
}
