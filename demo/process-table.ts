// SPDX-License-Identifier: Apache-2.0
import { readFileSync, readdirSync, readlinkSync } from "node:fs";
import { waitUntil } from "./wait-until.js";

const GONE_MS = 5_000;

/**
 * When a process started, in clock ticks since the machine did; undefined for one that does not exist or is dead and
 * only waits to be collected. The pid and this number together never mean another process.
 */
export function startTicks(pid: number): number | undefined {
  const stat = readProc(pid, "stat");
  // The second field is the program's name in parentheses and may hold anything, so count from its end.
  const fields = stat?.slice(stat.lastIndexOf(")") + 2).split(" ") ?? [];
  const [state] = fields;
  const ticks = Number(fields[19]);
  return state === undefined || state === "Z" || state === "X" || Number.isNaN(ticks) ? undefined : ticks;
}

/** Whether this process lives; with its start ticks, whether it is still the same one. */
export function isAlive(pid: number, ticks?: number): boolean {
  const found = startTicks(pid);
  return found !== undefined && (ticks === undefined || found === ticks);
}

/** Names this process in a way that no later one shares: its pid and start ticks, in base 36 since paths want it short. */
export function ownKey(): string {
  return `${process.pid.toString(36)}-${(startTicks(process.pid) ?? 0).toString(36)}`;
}

/** Whether the process of that key still lives. What is no key names no process. */
export function isKeyAlive(key: string): boolean {
  const [, pid, ticks] = /^([0-9a-z]+)-([0-9a-z]+)$/.exec(key) ?? [];
  return pid !== undefined && ticks !== undefined && isAlive(parseInt(pid, 36), parseInt(ticks, 36));
}

/**
 * The living processes that belong to a folder: their program lies in it, or their HOME does. Children inherit HOME
 * even through libvirtd, and no person's shell has such a HOME, so nothing foreign is ever found.
 */
export function processesOf(folder: string): number[] {
  return readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .filter((pid) => pid !== process.pid && belongsTo(pid, folder) && isAlive(pid));
}

/** Kills every process of the folder and waits until none is left. */
export async function killProcessesOf(folder: string): Promise<void> {
  const noneLeft = (): boolean => {
    const left = processesOf(folder);
    for (const pid of left) sendSignal(pid, "SIGKILL");
    return left.length === 0;
  };
  await waitUntil(noneLeft, { ms: GONE_MS, what: `the end of the processes of ${folder}` });
}

/** Sends a signal; a process that has gone meanwhile is no error. */
export function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

function belongsTo(pid: number, folder: string): boolean {
  const inside = `${folder}/`;
  return programOf(pid).startsWith(inside) || homeOf(pid).startsWith(inside);
}

function programOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/exe`);
  } catch {
    return "";
  }
}

function homeOf(pid: number): string {
  const home = readProc(pid, "environ")
    ?.split("\0")
    .find((variable) => variable.startsWith("HOME="));
  return home?.slice("HOME=".length) ?? "";
}

/** A file of /proc, or undefined where the process is gone or somebody else's. */
function readProc(pid: number, file: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return undefined;
  }
}
