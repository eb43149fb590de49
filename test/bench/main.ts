// SPDX-License-Identifier: Apache-2.0
// `make bench`: prints what it found and writes docs/benchmarks.md. Figures are no gate: it fails only where something
// could not be measured.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { startProgress } from "../../demo/progress.js";
import { sweepRunFolders } from "../../demo/run-folder.js";
import { PROJECT_FOLDER } from "../../demo/spicegate-programs.js";
import type { Findings, Memory } from "./findings.js";
import { measureFirstByte } from "./first-byte.js";
import { measureHostDown } from "./host-down.js";
import { describeMachine, machineLoad } from "./machine.js";
import { measure, subjectsOf } from "./measurement.js";
import { page } from "./page.js";
import { familyMiB, rssMiB } from "./process-usage.js";
import { tables } from "./report.js";
import { Surroundings } from "./surroundings.js";
import type { DataPath } from "./viewer-measurement.js";
import { measureDataPath } from "./viewer-measurement.js";
import { ViewerSurroundings } from "./viewer-surroundings.js";

const SETTLE_MS = 2_000;

async function main(): Promise<void> {
  const load = machineLoad();
  const progress = startProgress();
  await sweepRunFolders();
  const surroundings = new Surroundings(progress);
  const stop = (): void => void surroundings.stop().then(() => process.exit(130));
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, stop);
  try {
    await surroundings.start();
    const consoles = await find(surroundings, progress);
    await surroundings.stop();
    const findings = { ...consoles, dataPath: await findDataPath(progress) };
    const found = tables(findings);
    const file = join(PROJECT_FOLDER, "docs/benchmarks.md");
    writeFileSync(file, page(describeMachine(load), found));
    console.log(found);
    progress(`written to ${file}`);
  } finally {
    await surroundings.stop();
  }
}

async function find(surroundings: Surroundings, progress: (text: string) => void): Promise<Omit<Findings, "dataPath">> {
  await sleep(SETTLE_MS);
  const idle = memoryOf(surroundings, "product");
  const series = await measure(subjectsOf(surroundings), progress);
  const [loaded, bareLoaded] = [memoryOf(surroundings, "product"), memoryOf(surroundings, "bare")];
  const firstByte = await measureFirstByte(surroundings, progress);
  progress("killing the agent");
  const hostDown = await measureHostDown(surroundings);
  return { series, hostDown, idle, loaded, bareLoaded, firstByte };
}

async function findDataPath(progress: (text: string) => void): Promise<DataPath> {
  const surroundings = new ViewerSurroundings();
  try {
    progress("starting the data path");
    await surroundings.start();
    return await measureDataPath(surroundings, progress);
  } finally {
    await surroundings.stop();
  }
}

function memoryOf(surroundings: Surroundings, of: "product" | "bare"): Memory {
  const { controller, agent, libvirtd, postgres } = surroundings.pids(of);
  return {
    controller: rssMiB(controller),
    agent: rssMiB(agent),
    libvirtd: rssMiB(libvirtd),
    postgres: familyMiB(postgres),
  };
}

await main();
