// SPDX-License-Identifier: Apache-2.0
// `make soak`: lets a deployment run under load while its parts are killed, and says what leaked. SOAK_MINUTES is how
// long (60), SOAK_REPORT where the report goes besides standard output. Exit code 1: something leaked, or was not answered.
import { writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startProgress } from "../../demo/progress.js";
import { sweepRunFolders } from "../../demo/run-folder.js";
import { waitUntil } from "../../demo/wait-until.js";
import { pause } from "../../src/lib/deadline.js";
import { Disruptions } from "./disruptions.js";
import { Sampler } from "./sampler.js";
import { SoakActs } from "./soak-acts.js";
import { isClean, soakReport } from "./soak-report.js";
import { SoakStage } from "./soak-stage.js";
import { Tally } from "./tally.js";

const MINUTES = Number(process.env["SOAK_MINUTES"] ?? 60);
const REPORT = process.env["SOAK_REPORT"] ?? join(tmpdir(), "spicegate-soak.md");
const PEOPLE = { callers: 6, viewers: 10 };
const REST_MS = 12_000;
/** Part of the time, and at most so long. */
const WARM_UP = { part: 0.25, mostS: 600 };
const TELLS_EVERY_MS = 60_000;
/** Sessions can be rejoined for a while, and sweeps come now and then. */
const COMES_TO_REST_MS = 90_000;
/** Garbage is collected some time after what made it. */
const SETTLES_MS = 10_000;

async function main(): Promise<void> {
  if (!(MINUTES > 0)) throw new Error("SOAK_MINUTES must be a number of minutes");
  const progress = startProgress();
  await sweepRunFolders();
  const stage = new SoakStage(progress);
  const stop = (): void => void stage.stop().then(() => process.exit(130));
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, stop);
  try {
    await stage.start();
    await soak(stage, progress);
  } finally {
    progress("stopping");
    await stage.stop();
  }
}

async function soak(stage: SoakStage, progress: (text: string) => void): Promise<void> {
  const tally = new Tally();
  const sampler = new Sampler(stage);
  await pause(SETTLES_MS);
  const before = await sampler.look();
  progress(`soaking for ${MINUTES} minutes`);
  const acts = new SoakActs({ stage, tally, ...PEOPLE });
  const disruptions = new Disruptions({ stage, tally, progress, restMs: REST_MS });
  for (const part of [sampler, acts, disruptions]) part.start();
  await tellAlong(sampler, progress);
  const minutes = sampler.elapsedS / 60;
  progress("everybody leaves");
  await disruptions.stop();
  await sampler.stop();
  await acts.stop();
  const after = await atRest(sampler);
  const warmUpS = Math.min(WARM_UP.mostS, sampler.elapsedS * WARM_UP.part);
  const findings = { minutes, warmUpS, watched: sampler.watched, tally, before, after };
  const report = soakReport(findings);
  writeFileSync(REPORT, `${report}\n`);
  console.log(report);
  progress(`written to ${REPORT}`);
  process.exitCode = isClean(findings) ? 0 : 1;
}

async function tellAlong(sampler: Sampler, progress: (text: string) => void): Promise<void> {
  for (let left = MINUTES * 60_000; left > 0; left -= TELLS_EVERY_MS) {
    await pause(Math.min(left, TELLS_EVERY_MS));
    const last = sampler.watched.filter(({ name }) => name.includes("RSS") || name.includes("open sessions"));
    progress(last.map(({ name, samples }) => `${name} ${samples.at(-1)?.value.toFixed(0) ?? "?"}`).join("; "));
  }
}

/** Waits until all that ends by itself has ended, or has had its time. */
async function atRest(sampler: Sampler): Promise<ReadonlyMap<string, number>> {
  const ended = async (): Promise<boolean> => {
    await pause(1_000);
    const look = await sampler.look();
    return ["open sessions", "open channels", "tokens"].every((what) => look.get(`rows: ${what}`) === 0);
  };
  await waitUntil(ended, { ms: COMES_TO_REST_MS, what: "everything to end" }).catch(() => undefined);
  await pause(SETTLES_MS);
  return sampler.look();
}

await main();
