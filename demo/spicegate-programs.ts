// SPDX-License-Identifier: Apache-2.0
import { execFile } from "node:child_process";
import { appendFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { ChildProgram } from "./child-program.js";

/** Where the compiled project is. */
export const PROJECT_FOLDER = join(import.meta.dirname, "../..");

const COMMAND_MS = 30_000;
const PROBE_MS = 2_000;
const CONTROLLER = join(PROJECT_FOLDER, "dist/src/main.js");
const AGENT = join(PROJECT_FOLDER, "dist/agent/main.js");

/** What one of our own programs needs to run as a process. */
export interface SpicegateProgramOptions {
  /** A folder inside a run folder, so that a sweep finds the process. */
  readonly home: string;
  readonly configFile: string;
  readonly logFile: string;
  /** Where its telemetry listens, asked whether it is ready. */
  readonly telemetry: string;
  /** Most memory for JavaScript's long-lived objects, in MiB; Node's own choice unless set. */
  readonly heapMiB?: number | undefined;
  /** host:port for Node's inspector; none unless set. */
  readonly inspector?: string;
  /** How long it may take to be ready, in milliseconds; 20 s unless set. */
  readonly readyMs?: number;
}

/** The controller as a process: ready when its /readyz says so. */
export function controllerProgram(options: SpicegateProgramOptions): ChildProgram {
  return spicegateProgram("controller", [CONTROLLER, "serve", "--config", options.configFile], options);
}

/** The legacy store of console tokens as a process; it reads the controller's settings. */
export function consoleAuthProgram(options: SpicegateProgramOptions): ChildProgram {
  return spicegateProgram("consoleauth", [CONTROLLER, "consoleauth", "--config", options.configFile], options);
}

/** The agent as a process: ready when its /readyz says so. */
export function agentProgram(options: SpicegateProgramOptions): ChildProgram {
  return spicegateProgram("agent", [AGENT, "--config", options.configFile], options);
}

/** Brings the database of a controller's configuration to this version's schema. Throws with what the program said. */
export async function migrate(configFile: string, logFile: string): Promise<void> {
  const args = [CONTROLLER, "migrate", "--config", configFile];
  const said = await promisify(execFile)(process.execPath, args, { timeout: COMMAND_MS });
  await appendFile(logFile, said.stdout + said.stderr, { mode: 0o600 });
}

/** Runs a command of `spicegate` that ends by itself, and returns what it printed. Throws with what it said instead. */
export async function runSpicegate(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const options = { timeout: COMMAND_MS, env: { ...process.env, ...env } };
  const { stdout } = await promisify(execFile)(process.execPath, [CONTROLLER, ...args], options);
  return stdout.trim();
}

/** Whether the program behind this telemetry address says that it can be used. */
export async function isReady(telemetry: string): Promise<boolean> {
  try {
    const response = await fetch(`http://${telemetry}/readyz`, { signal: AbortSignal.timeout(PROBE_MS) });
    await response.body?.cancel();
    return response.ok;
  } catch {
    return false;
  }
}

function spicegateProgram(name: string, args: readonly string[], options: SpicegateProgramOptions): ChildProgram {
  const { home, logFile, telemetry, heapMiB, inspector, readyMs } = options;
  const heap = heapMiB === undefined ? [] : [`--max-old-space-size=${heapMiB}`];
  const inspect = inspector === undefined ? [] : [`--inspect=${inspector}`];
  return new ChildProgram({
    name,
    command: process.execPath,
    args: ["--enable-source-maps", ...heap, ...inspect, ...args],
    home,
    logFile,
    ready: () => isReady(telemetry),
    ...(readyMs === undefined ? {} : { readyMs }),
    // An orderly stop lets open consoles go on for a while.
    stopSteps: [{ signal: "SIGTERM", ms: 10_000 }],
  });
}
