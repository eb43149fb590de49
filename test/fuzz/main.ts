// SPDX-License-Identifier: Apache-2.0
// `make fuzz`: feeds whatever reads strangers' bytes with random ones. FUZZ_SECONDS is how long altogether (600), FUZZ names
// the targets (all), FUZZ_SEED the seed of the first round (random ones), JOBS how many run at a time. Exit code 1: some input
// was not taken well.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { FuzzOutcome } from "./fuzz-run.js";
import { fuzzName, runFuzzTarget } from "./fuzz-run.js";

const FOLDER = fileURLToPath(new URL(".", import.meta.url));
const { FUZZ_SECONDS = "600", FUZZ_SEED, FUZZ = "", JOBS = "2" } = process.env;

async function main(): Promise<void> {
  const files = targets();
  const jobs = Math.max(1, Math.min(numberOf("JOBS", JOBS), files.length));
  const seconds = (numberOf("FUZZ_SECONDS", FUZZ_SECONDS) * jobs) / files.length;
  const seed = FUZZ_SEED === undefined ? undefined : numberOf("FUZZ_SEED", FUZZ_SEED);
  const outcomes: FuzzOutcome[] = [];
  const worker = async (): Promise<void> => {
    for (let file = files.shift(); file !== undefined; file = files.shift()) {
      const outcome = await runFuzzTarget({ file, seconds, seed });
      outcomes.push(outcome);
      console.log(lineOf(outcome));
    }
  };
  await Promise.all(Array.from({ length: jobs }, worker));
  process.exitCode = outcomes.some(({ failure }) => failure) ? 1 : 0;
}

function targets(): string[] {
  const names = FUZZ.split(/[\s,]+/).filter((name) => name !== "");
  const files = readdirSync(FOLDER).filter((file) => file.endsWith(".fuzz.js"));
  const unknown = names.find((name) => !files.some((file) => fuzzName(file) === name));
  if (unknown !== undefined)
    throw new Error(`FUZZ: there is no ${unknown}; there are ${files.map(fuzzName).join(", ")}`);
  return files.filter((file) => names.length === 0 || names.includes(fuzzName(file))).map((file) => join(FOLDER, file));
}

function numberOf(name: string, text: string): number {
  const number = Number(text);
  if (!Number.isFinite(number) || number < 0 || text === "") throw new Error(`${name} must be a number`);
  return number;
}

function lineOf({ name, inputs, failure }: FuzzOutcome): string {
  if (!failure) return `fuzz: ${name} took ${inputs} inputs well`;
  return `fuzz: ${name} FAILED\n${failure.what}\nThe same round again: make fuzz FUZZ=${name} FUZZ_SEED=${failure.seed}\n`;
}

await main();
