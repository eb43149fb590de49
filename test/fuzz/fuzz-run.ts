// SPDX-License-Identifier: Apache-2.0
import { fork } from "node:child_process";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import type { FuzzMessage } from "./fuzz-target.js";
import { HANG_MS, HEAP_MIB } from "./fuzz-target.js";

/** How a target is fed. */
export interface FuzzRunOptions {
  /** The compiled file of the target. */
  readonly file: string;
  readonly seconds: number;
  /** Of the first round; each further one takes the next. Random ones without it. */
  readonly seed?: number | undefined;
  /** How long a round may take before it counts as hanging, if not as usual; milliseconds. */
  readonly hangMs?: number;
}

/** How it went. */
export interface FuzzOutcome {
  readonly name: string;
  readonly inputs: number;
  /** What an input did, with all that is needed to see it again; undefined where every one was taken well. */
  readonly failure?: { readonly seed: number; readonly what: string };
}

const PROCESS = fileURLToPath(new URL("fuzz-process.js", import.meta.url));

/** The name of a target by its file. */
export function fuzzName(file: string): string {
  return basename(file).replace(/\.fuzz\.js$/, "");
}

/**
 * Feeds a target in a process of its own, so that an input that hangs, ends the process or eats its memory is found as
 * well as one that fails. It always ends, and never throws for what the target does.
 */
export function runFuzzTarget({ file, seconds, seed, hangMs = HANG_MS }: FuzzRunOptions): Promise<FuzzOutcome> {
  const name = fuzzName(file);
  const execArgv = [`--max-old-space-size=${HEAP_MIB}`, "--enable-source-maps"];
  const args = [file, String(seconds), ...(seed === undefined ? [] : [String(seed)])];
  const child = fork(PROCESS, args, { execArgv, stdio: ["ignore", "inherit", "inherit", "ipc"] });
  return new Promise((resolve) => {
    let round = seed ?? 0;
    let inputs = 0;
    let what: string | undefined;
    const hangs = (): void => {
      what = `an input hangs: the round did not end within ${hangMs} ms`;
      child.kill("SIGKILL");
    };
    let watch = setTimeout(hangs, hangMs);
    child.on("message", (message: FuzzMessage) => {
      clearTimeout(watch);
      watch = setTimeout(hangs, hangMs);
      if (message.kind === "round") round = message.seed;
      else if (message.kind === "done") inputs = message.inputs;
      else what = message.report;
    });
    child.once("exit", (code, signal) => {
      clearTimeout(watch);
      if (code !== 0) what ??= `the process ended with ${signal ?? code}`;
      resolve({ name, inputs, ...(what !== undefined && { failure: { seed: round, what } }) });
    });
  });
}
