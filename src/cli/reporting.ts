// SPDX-License-Identifier: Apache-2.0
// How commands end: what was asked for goes to standard output alone, so that it can go into a file, and words to
// standard error.
import { ConfigError } from "../config/load-config.js";
import { messageOf } from "../lib/message-of.js";

/** How a command ends that does not do what it was asked. */
export const EXIT = {
  /** It was refused, or failed. */
  REFUSED: 1,
  /** The settings are no good. */
  SETTINGS: 2,
  /** Nobody answered: trying again may help. */
  NO_ANSWER: 3,
} as const;

/** What a command does. */
export interface CommandOutput {
  /** For standard output; empty where there is nothing. */
  readonly out: string;
  /** For people. */
  readonly words?: string;
}

/** A command that cannot go on; its message says why, and what to do. */
export class CommandError extends Error {
  override readonly name = "CommandError";
  readonly exitCode: number;

  constructor(message: string, exitCode: number = EXIT.REFUSED) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** Runs a command and says how it ended; sets the exit code, and never throws. */
export async function reporting(work: () => Promise<CommandOutput>): Promise<void> {
  try {
    const { out, words } = await work();
    process.stdout.write(out);
    if (words !== undefined) process.stderr.write(`${words}\n`);
  } catch (error) {
    process.stderr.write(`spicegate: ${messageOf(error)}\n`);
    process.exitCode = exitCodeOf(error);
  }
}

function exitCodeOf(error: unknown): number {
  if (error instanceof ConfigError) return EXIT.SETTINGS;
  return error instanceof CommandError ? error.exitCode : EXIT.REFUSED;
}
