// SPDX-License-Identifier: Apache-2.0
// usage: node dist/test/fuzz/fuzz-process.js FILE SECONDS [SEED]
//
// Feeds one target, round after round, until the time is over or an input fails. SEED is the first round's, and each
// further one takes the next; without it they are random.
import fc from "fast-check";
import { randomInt } from "node:crypto";
import { pathToFileURL } from "node:url";
import type { FuzzMessage, FuzzTarget } from "./fuzz-target.js";
import { ROUND_MS } from "./fuzz-target.js";

const MOST_REPORT = 8_000;
const tell = (message: FuzzMessage): void => void process.send?.(message);
const [, , file = "", seconds = "1", first] = process.argv;

async function main(): Promise<void> {
  const { target } = (await import(pathToFileURL(file).href)) as { readonly target: FuzzTarget };
  await target.start?.();
  const report = await rounds(target);
  await target.stop?.();
  process.exitCode = report === undefined ? 0 : 1;
  process.disconnect();
}

/** What failed; undefined where nothing did. */
async function rounds({ property, runs }: FuzzTarget): Promise<string | undefined> {
  // From the beginning of the process on.
  const until = Number(seconds) * 1_000;
  let inputs = 0;
  let round = 0;
  do {
    const seed = first === undefined ? randomInt(2 ** 31) : Number(first) + round;
    round += 1;
    tell({ kind: "round", seed });
    const details = await fc.check(property, {
      seed,
      numRuns: runs,
      interruptAfterTimeLimit: ROUND_MS,
      includeErrorInReport: true,
    });
    inputs += details.numRuns;
    if (details.failed) {
      const report = (await fc.asyncDefaultReportMessage(details)).slice(0, MOST_REPORT);
      tell({ kind: "failed", report });
      return report;
    }
  } while (performance.now() < until);
  tell({ kind: "done", inputs });
  return undefined;
}

await main();
