// SPDX-License-Identifier: Apache-2.0
import { readdirSync, readFileSync } from "node:fs";
import { waitUntil } from "../../demo/wait-until.js";

/** Memory that a process has in use, in MiB. */
export function residentMiB(pid: number): number {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  if (kib === undefined) throw new Error(`process ${pid} says nothing of its memory`);
  return Number(kib) / 1_024;
}

/** How many descriptors a process has open. */
export function openDescriptors(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

const FREEZES_MS = 5_000;

/** Stops a process with SIGSTOP; returns when each of its threads stands still, which may be a moment after the signal. */
export async function freeze(pid: number): Promise<void> {
  process.kill(pid, "SIGSTOP");
  await waitUntil(() => threadStates(pid).every((state) => state === "T"), {
    ms: FREEZES_MS,
    what: `process ${pid} to stand still`,
  });
}

function threadStates(pid: number): readonly string[] {
  const threads = readdirSync(`/proc/${pid}/task`);
  // The name in brackets may hold anything.
  return threads.map((thread) => /\) (\S)/.exec(readFileSync(`/proc/${pid}/task/${thread}/stat`, "utf8"))?.[1] ?? "");
}
