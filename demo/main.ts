// SPDX-License-Identifier: Apache-2.0
// `make demo` stays up until Ctrl-C. With ONCE=1 it takes free ports, ends by itself, and its last line is its state.
// DEMO_FOLDER is where state and logs go, .demo otherwise.
import { join } from "node:path";
import { Demo } from "./demo.js";
import { DemoFolder } from "./demo-folder.js";
import { howTo } from "./how-to.js";
import { startProgress } from "./progress.js";
import type { Progress } from "./progress.js";
import { sweepRunFolders } from "./run-folder.js";
import { PROJECT_FOLDER } from "./spicegate-programs.js";

type End = "done" | "interrupted";

const once = (process.env["ONCE"] ?? "") !== "";

/** Ctrl-C, or an order to end; listened for from the first moment on. */
const interrupted = new Promise<End>((resolve) => {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => resolve("interrupted"));
});

/** Runs the demo in its folder and tears it down, however it ended. */
async function runIn(folder: DemoFolder, progress: Progress): Promise<void> {
  const swept = await sweepRunFolders();
  if (swept > 0) progress(`removed what an earlier run had left behind (${swept} folders)`);
  const demo = new Demo({ folder, progress, freePorts: once });
  let end: End;
  try {
    end = await Promise.race([demo.start().then(() => stay(demo)), interrupted]);
  } finally {
    progress("stopping");
    await demo.stop();
  }
  progress("stopped");
  if (once && end === "interrupted") throw new Error("interrupted");
  if (once) console.log(JSON.stringify(demo.state));
}

/** Throws when one of the demo's processes ends; for ONCE there is nothing to stay for. */
async function stay(demo: Demo): Promise<End> {
  if (once) return "done";
  console.log(howTo(demo.state));
  throw new Error(await demo.firstEnd());
}

async function main(): Promise<void> {
  const top = process.env["DEMO_FOLDER"] ?? join(PROJECT_FOLDER, ".demo");
  const folder = once ? DemoFolder.takeOnce(top) : DemoFolder.take(top);
  let keepLogs = true;
  try {
    await runIn(folder, startProgress());
    keepLogs = false;
  } finally {
    folder.release({ keepLogs });
  }
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
