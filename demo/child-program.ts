// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import type { Part } from "../src/lib/lifecycle.js";
import { messageOf } from "../src/lib/message-of.js";
import { sendSignal } from "./process-table.js";
import type { ServiceUser } from "./service-user.js";
import { waitUntil } from "./wait-until.js";

/** One step of a stop: a signal, and how long it may take to work, in milliseconds. */
export interface StopStep {
  readonly signal: NodeJS.Signals;
  readonly ms: number;
}

/** What a supervisor has to know of a program. */
export interface ChildProgramOptions {
  /** What people call it. */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  /** Its HOME, inside a run folder: by it a later sweep recognises the process and all its children. */
  readonly home: string;
  /** Gets all that the program prints; appended to. */
  readonly logFile: string;
  /** The environment besides HOME and PATH; nothing else is inherited. */
  readonly env?: Readonly<Record<string, string>>;
  readonly user?: ServiceUser;
  /** Runs before each start, once a process before it is gone. */
  readonly prepare?: () => Promise<void>;
  /** Asked again and again until the program can be used. */
  readonly ready: () => boolean | Promise<boolean>;
  readonly readyMs?: number;
  /** In order; SIGKILL follows. */
  readonly stopSteps?: readonly StopStep[];
}

const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const READY_MS = 20_000;
const KILLED_MS = 5_000;
const LOG_LINES = 15;

/**
 * A real process in a session of its own, so that Ctrl-C on the terminal reaches only its supervisor and the stop keeps
 * its order. `start` ends when the program is ready, and throws with its last words if it ends before; after `kill` it
 * can be started again. `stop` is safe twice.
 */
export class ChildProgram implements Part {
  readonly #options: ChildProgramOptions;
  #child: ChildProcess | undefined;
  #dying = false;
  #ended: Promise<string> = Promise.resolve("not started");

  constructor(options: ChildProgramOptions) {
    this.#options = options;
  }

  get name(): string {
    return this.#options.name;
  }

  get logFile(): string {
    return this.#options.logFile;
  }

  /** Whether the process is there, ready or not. */
  get running(): boolean {
    return this.#child !== undefined;
  }

  /** The pid of the running process. Throws when there is none. */
  get pid(): number {
    if (this.#child?.pid === undefined) throw new Error(`${this.name} is not running`);
    return this.#child.pid;
  }

  /** How the present process ends: "exit code 1", "SIGKILL". Resolved already when none runs. */
  get ended(): Promise<string> {
    return this.#ended;
  }

  async start(): Promise<void> {
    if (this.#dying) await this.#endsWithin(KILLED_MS);
    if (this.#child) throw new Error(`${this.name} is running already`);
    await this.#options.prepare?.();
    this.#spawn();
    const { ready, readyMs = READY_MS } = this.#options;
    const check = async (): Promise<boolean> => {
      if (!this.#child) throw new Error(`${this.name} ended: ${await this.#ended}`);
      return ready();
    };
    try {
      await waitUntil(check, { ms: readyMs, what: `${this.name} to be ready` });
    } catch (error) {
      const message = messageOf(error);
      throw new Error(`${message}; last lines of ${this.logFile}:\n${this.lastLogLines()}`, { cause: error });
    }
  }

  async stop(): Promise<void> {
    const steps = this.#options.stopSteps ?? [{ signal: "SIGTERM", ms: KILLED_MS }];
    for (const { signal, ms } of [...steps, { signal: "SIGKILL", ms: KILLED_MS } as const]) {
      if (!this.#child) return;
      this.kill(signal);
      // A process that was stopped by SIGSTOP takes other signals only when it goes on.
      this.kill("SIGCONT");
      if (await this.#endsWithin(ms)) return;
    }
    throw new Error(`${this.name} (pid ${this.pid}) survived SIGKILL`);
  }

  /** Sends a signal to the process; when none runs, nothing happens. A `start` after it waits for the end it causes. */
  kill(signal: NodeJS.Signals): void {
    if (this.#child?.pid === undefined) return;
    this.#dying ||= !["SIGSTOP", "SIGCONT"].includes(signal);
    sendSignal(this.#child.pid, signal);
  }

  /** The end of its log, for a message to a person. */
  lastLogLines(count = LOG_LINES): string {
    if (!existsSync(this.logFile)) return "(no log)";
    return readFileSync(this.logFile, "utf8").trimEnd().split("\n").slice(-count).join("\n");
  }

  #spawn(): void {
    const { command, args, home, logFile, env, user } = this.#options;
    const log = openSync(logFile, "a", 0o600);
    const child = spawn(command, [...args], {
      ...user,
      cwd: home,
      env: { PATH, HOME: home, ...env },
      detached: true,
      stdio: ["ignore", log, log],
    });
    closeSync(log);
    this.#child = child;
    this.#dying = false;
    this.#ended = new Promise((resolve) => {
      const end = (how: string): void => {
        if (this.#child === child) this.#child = undefined;
        resolve(how);
      };
      child.once("error", (error) => end(error.message));
      child.once("exit", (code, signal) => end(signal ?? `exit code ${code ?? "unknown"}`));
    });
  }

  async #endsWithin(ms: number): Promise<boolean> {
    try {
      await waitUntil(() => this.#child === undefined, { ms, what: `the end of ${this.name}` });
      return true;
    } catch {
      return false;
    }
  }
}
