// SPDX-License-Identifier: Apache-2.0
import { execFile } from "node:child_process";

/** How a command is run. */
export interface CommandOptions {
  readonly cwd?: string;
  /** Besides PATH and HOME. */
  readonly env?: Readonly<Record<string, string>>;
  /** After so many milliseconds it is killed; default 30 s. */
  readonly ms?: number;
}

/** How a command ended. */
export interface CommandResult {
  /** undefined where it was killed. */
  readonly code: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command to its end, whatever that is; it throws only where the command does not exist. */
export function runCommand(
  command: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const { cwd, env, ms = 30_000 } = options;
  const { PATH = "", HOME = "" } = process.env;
  return new Promise((resolve, reject) => {
    const settings = { cwd, env: { PATH, HOME, ...env }, timeout: ms, killSignal: "SIGKILL" } as const;
    execFile(command, [...args], settings, (error, stdout, stderr) => {
      const code = error === null ? 0 : error.code;
      if (typeof code === "string") reject(new Error(`${command} could not be run: ${code}`));
      else resolve({ code: code ?? undefined, stdout, stderr });
    });
  });
}

/** What a command prints; throws with what it complained about where it did not end with 0. */
export async function outputOf(
  command: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<string> {
  const { code, stdout, stderr } = await runCommand(command, args, options);
  if (code !== 0) throw new Error(`${command} ended with ${code ?? "a signal"}: ${stdout}${stderr}`);
  return stdout;
}
