// SPDX-License-Identifier: Apache-2.0
// The commands of `spicegate` as an operator types them.
import { join } from "node:path";
import { PROJECT_FOLDER } from "../../demo/spicegate-programs.js";
import type { CommandResult } from "./run-command.js";
import { runCommand } from "./run-command.js";

const SPICEGATE = join(PROJECT_FOLDER, "dist/src/main.js");

/** Runs `spicegate …` to its end, with these variables. */
export function spicegate(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<CommandResult> {
  return runCommand(process.execPath, [SPICEGATE, ...args], { env });
}

/** What it prints; throws with what it complained about where it did not end with 0. */
export async function outputOfSpicegate(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const { code, stdout, stderr } = await spicegate(args, env);
  if (code !== 0) throw new Error(`spicegate ${args.join(" ")} ended with ${code ?? "a signal"}: ${stdout}${stderr}`);
  return stdout;
}
