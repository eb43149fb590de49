// SPDX-License-Identifier: Apache-2.0
// A process of the benchmark's own, and what such a process uses to speak with the one that started it. It ends when
// that one does.
import type { ChildProcess } from "node:child_process";
import { fork } from "node:child_process";
import { once } from "node:events";
import type { Part } from "../../src/lib/lifecycle.js";

const START_MS = 10_000;
const ANSWER_MS = 60_000;
const READY = "ready";

/** Runs one of the benchmark's entry files. It is told its options once and may then be asked questions. */
export class BenchProcess<Options extends object> implements Part {
  readonly #file: URL;
  readonly #options: Options;
  #child: ChildProcess | undefined;

  /** `file` is relative to this folder. */
  constructor(file: string, options: Options) {
    this.#file = new URL(file, import.meta.url);
    this.#options = options;
  }

  get pid(): number {
    if (this.#child?.pid === undefined) throw new Error("the process is not running");
    return this.#child.pid;
  }

  /** Returns once the process has announced that it is ready. */
  async start(): Promise<void> {
    this.#child = fork(this.#file, [JSON.stringify(this.#options)]);
    await this.#message(START_MS);
  }

  /** Sends a question and waits for the one answer; one question at a time. */
  ask(question: object): Promise<unknown> {
    const answer = this.#message(ANSWER_MS);
    this.#child?.send(question);
    return answer;
  }

  /** Kills the process, which has nothing to save. Twice is harmless. */
  async stop(): Promise<void> {
    const child = this.#child;
    if (child?.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  }

  async #message(ms: number): Promise<unknown> {
    if (!this.#child) throw new Error("the process is not running");
    const done = new AbortController();
    const signal = AbortSignal.any([done.signal, AbortSignal.timeout(ms)]);
    const ended = once(this.#child, "exit", { signal }).then(() => {
      throw new Error(`${this.#file.pathname} ended`);
    });
    try {
      const [message] = (await Promise.race([once(this.#child, "message", { signal }), ended])) as [unknown];
      return message;
    } finally {
      ended.catch(() => undefined);
      done.abort();
    }
  }
}

/** Inside such a process: the options it was started with. */
export function childOptions(): unknown {
  process.on("disconnect", () => process.exit());
  return JSON.parse(process.argv[2] ?? "{}");
}

/** Inside such a process: says that it can be used. */
export function announceReady(): void {
  process.send?.(READY);
}
