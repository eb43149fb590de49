// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { cpus, loadavg, release, totalmem } from "node:os";

/** What the figures were measured on, for people; `load` is the machine's load before the benchmark began. */
export function describeMachine(load: number): string {
  const [cpu] = cpus();
  const os = /^PRETTY_NAME="(.*)"$/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1] ?? "Linux";
  const lines = [
    `${cpus().length} × ${cpu?.model.trim() ?? "unknown CPU"}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB of memory`,
    `${os}, kernel ${release()}, Node.js ${process.versions.node}, ${version("libvirtd")}, ${version("qemu-system-x86_64")}`,
    `load of the machine before the run: ${load.toFixed(2)}; on ${new Date().toISOString().slice(0, 10)}`,
  ];
  return lines.map((line) => `- ${line}`).join("\n");
}

/** The load of the last minute. */
export function machineLoad(): number {
  return loadavg()[0] ?? 0;
}

function version(program: string): string {
  const text = execFileSync(program, ["--version"], { encoding: "utf8" });
  return `${program} ${/\d+(\.\d+)+/.exec(text)?.[0] ?? "unknown"}`;
}
