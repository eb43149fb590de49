// SPDX-License-Identifier: Apache-2.0
// `make bench`: prints what it found and writes docs/benchmarks.md. Figures are no gate: it fails only where something
// could not be measured. With an argument it measures one part alone and only prints: `scale`, with other numbers of
// hosts if any follow, or `path`, with only those ways to the display that follow.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Progress } from "../../demo/progress.js";
import { startProgress } from "../../demo/progress.js";
import { sweepRunFolders } from "../../demo/run-folder.js";
import { PROJECT_FOLDER } from "../../demo/spicegate-programs.js";
import type { Part } from "../../src/lib/lifecycle.js";
import type { Findings, Memory } from "./findings.js";
import { measureFirstByte } from "./first-byte.js";
import { measureHostDown } from "./host-down.js";
import { describeMachine, machineLoad } from "./machine.js";
import { measure, subjectsOf } from "./measurement.js";
import { page } from "./page.js";
import { familyMiB, rssMiB } from "./process-usage.js";
import { tables, transferTable } from "./report.js";
import type { ScaleFindings } from "./scale-measurement.js";
import { measureScale, SCALES } from "./scale-measurement.js";
import { scaleTable } from "./scale-report.js";
import { ScaleSurroundings } from "./scale-surroundings.js";
import { Surroundings } from "./surroundings.js";
import type { DataPath } from "./viewer-measurement.js";
import { measureDataPath, WAYS } from "./viewer-measurement.js";
import type { Way } from "./viewer-surroundings.js";
import { ViewerSurroundings } from "./viewer-surroundings.js";

const SETTLE_MS = 2_000;
const SIGNALS = ["SIGINT", "SIGTERM"] as const;

async function main(progress: Progress): Promise<void> {
  await sweepRunFolders();
  const [part = "all", ...choice] = process.argv.slice(2);
  switch (part) {
    case "all":
      return measureAll(progress);
    case "scale": {
      const scale = await findScale(progress, choice.length > 0 ? choice.map(Number) : SCALES);
      console.log(scaleTable(scale));
      return;
    }
    case "path": {
      const ways = WAYS.filter((way) => choice.length === 0 || choice.includes(way));
      console.log(transferTable(await findDataPath(progress, ways)));
      return;
    }
    default:
      throw new Error(`"${part}" is no part of the benchmark; there are scale and path`);
  }
}

async function measureAll(progress: Progress): Promise<void> {
  const load = machineLoad();
  const consoles = await within(new Surroundings(progress), (surroundings) => find(surroundings, progress));
  const dataPath = await findDataPath(progress, WAYS);
  const found = tables({ ...consoles, dataPath, scale: await findScale(progress, SCALES) });
  const file = join(PROJECT_FOLDER, "docs/benchmarks.md");
  writeFileSync(file, page(describeMachine(load), found));
  console.log(found);
  progress(`written to ${file}`);
}

/** Measures in surroundings that are there only meanwhile, also where somebody interrupts it. */
async function within<P extends Part, T>(surroundings: P, work: (surroundings: P) => Promise<T>): Promise<T> {
  const interrupt = (): void => void Promise.resolve(surroundings.stop()).then(() => process.exit(130));
  for (const signal of SIGNALS) process.once(signal, interrupt);
  try {
    await surroundings.start();
    return await work(surroundings);
  } finally {
    for (const signal of SIGNALS) process.off(signal, interrupt);
    await surroundings.stop();
  }
}

async function find(surroundings: Surroundings, progress: Progress): Promise<Omit<Findings, "dataPath" | "scale">> {
  await sleep(SETTLE_MS);
  const idle = memoryOf(surroundings, "product");
  const series = await measure(subjectsOf(surroundings), progress);
  const [loaded, bareLoaded] = [memoryOf(surroundings, "product"), memoryOf(surroundings, "bare")];
  const firstByte = await measureFirstByte(surroundings, progress);
  progress("killing the agent");
  const hostDown = await measureHostDown(surroundings);
  return { series, hostDown, idle, loaded, bareLoaded, firstByte };
}

function findDataPath(progress: Progress, ways: readonly Way[]): Promise<DataPath> {
  progress("starting the data path");
  return within(new ViewerSurroundings(), (surroundings) => measureDataPath(surroundings, progress, ways));
}

function findScale(progress: Progress, sizes: readonly number[]): Promise<ScaleFindings> {
  progress("starting controllers for many hosts");
  return within(new ScaleSurroundings(), (surroundings) => measureScale(surroundings, progress, sizes));
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

await main(startProgress());
