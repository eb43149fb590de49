// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";

// The kernel counts in ticks of 10 ms on every Linux that Node runs on.
const TICK_MS = 10;
const PAGE_KIB = 4;

/** The CPU time that a process and its children have used so far, in milliseconds. */
export function cpuMs(pid: number): number {
  const ticks = statFields(pid).slice(11, 15).map(Number);
  const own = ticks.reduce((sum, value) => sum + value, 0) * TICK_MS;
  return own + sumOfChildren(pid, cpuMs);
}

/** The memory that a process holds, in MiB: its resident set. */
export function rssMiB(pid: number): number {
  const [, pages = 0] = readFileSync(`/proc/${pid}/statm`, "utf8").split(" ").map(Number);
  return (pages * PAGE_KIB) / 1024;
}

/** The memory of a process and its children, in MiB, where what they share counts once (its proportional set). */
export function familyMiB(pid: number): number {
  const kib = /^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1];
  return Number(kib) / 1024 + sumOfChildren(pid, familyMiB);
}

/** utime, stime and those of collected children are the 11th to 14th after the program's name. */
function statFields(pid: number): string[] {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

function sumOfChildren(pid: number, measure: (child: number) => number): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
  return children
    .split(" ")
    .filter(Boolean)
    .map(Number)
    .map(orZero(measure))
    .reduce((sum, value) => sum + value, 0);
}

/** A child may end while one looks; from then on its parent has counted it. */
function orZero(measure: (child: number) => number): (child: number) => number {
  return (child) => {
    try {
      return measure(child);
    } catch {
      return 0;
    }
  };
}
