// SPDX-License-Identifier: Apache-2.0
import { withDeadline } from "./deadline.js";
import { steadyHeapGrowth } from "./heap-growth.js";
import { START_STEP_MS, STOP_STEP_MS, STOP_TOTAL_MS } from "./limits.js";
import type { Log } from "./log.js";

/** Something long-lived. `stop` may be called twice and after a failed start. */
export interface Part {
  start(): Promise<void> | void;
  stop(): Promise<void> | void;
}

/** A part with the name that logs give it. */
export interface NamedPart {
  readonly name: string;
  readonly part: Part;
  /** How long its stop may take, in milliseconds, where that is not the usual. */
  readonly stopMs?: number;
}

type State = "new" | "starting" | "running" | "stopping" | "stopped";

/**
 * Starts parts in order and stops them in reverse. A start that fails stops what had started and throws. A stop that
 * fails or hangs is logged and does not keep the others from stopping.
 */
export class Lifecycle implements Part {
  readonly #log: Log;
  readonly #parts: readonly NamedPart[];
  readonly #started: NamedPart[] = [];
  #state: State = "new";
  #stopping: Promise<void> | undefined;

  constructor(log: Log, parts: readonly NamedPart[]) {
    this.#log = log;
    this.#parts = parts;
  }

  async start(): Promise<void> {
    if (this.#state !== "new") throw new Error(`cannot start while ${this.#state}`);
    this.#state = "starting";
    for (const named of this.#parts) {
      if (this.#stopping) return;
      this.#started.push(named);
      try {
        await bounded(START_STEP_MS, `start of ${named.name}`, () => named.part.start());
      } catch (error) {
        await this.stop();
        throw error;
      }
    }
    if (!this.#stopping) this.#state = "running";
  }

  /** Stops what runs. A second call waits for the first. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stopAll();
    return this.#stopping;
  }

  async #stopAll(): Promise<void> {
    this.#state = "stopping";
    for (const { name, part, stopMs } of this.#started.splice(0).reverse()) {
      try {
        await bounded(stopMs ?? STOP_STEP_MS, `stop of ${name}`, () => part.stop());
      } catch (error) {
        this.#log.error({ err: error, part: name }, "a part did not stop cleanly");
      }
    }
    this.#state = "stopped";
  }
}

function bounded(ms: number, what: string, work: () => Promise<void> | void): Promise<void> {
  const expired = (): Error => new Error(`${what} took longer than ${ms} ms`);
  return withDeadline({ ms, expired }, async () => work());
}

/** What a program may set about how it runs. */
export interface RunOptions {
  readonly log: Log;
  /** How long an orderly stop may take in all, in milliseconds. */
  readonly stopMs?: number;
  /** Leaves the process at once; the agent passes one that works while a worker is stuck in native code. */
  readonly exit?: (code: number) => void;
}

/**
 * Runs a program until SIGTERM or SIGINT, then stops it in order and exits with 0. A second signal, or a stop that
 * hangs, exits with 1; so does a start that fails, or an error that nobody caught, after logging it.
 */
export async function runProgram(part: Part, options: RunOptions): Promise<void> {
  const { log, stopMs = STOP_TOTAL_MS, exit = (code: number): void => void process.exit(code) } = options;
  steadyHeapGrowth();
  const state = { stopping: false };
  const onSignal = (signal: NodeJS.Signals): void => {
    if (state.stopping) {
      log.warn({ signal }, "second signal: leaving at once");
      return exit(1);
    }
    state.stopping = true;
    log.info({ signal }, "stopping");
    const expired = (): Error => new Error(`the stop took longer than ${stopMs} ms`);
    withDeadline({ ms: stopMs, expired }, async () => part.stop()).then(
      () => {
        log.info("stopped");
        exit(0);
      },
      (error: unknown) => {
        log.error({ err: error }, "did not stop in time: leaving at once");
        exit(1);
      },
    );
  };
  process.on("uncaughtException", (error) => {
    log.fatal({ err: error }, "unexpected error: leaving at once");
    exit(1);
  });
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
  try {
    await part.start();
  } catch (error) {
    if (state.stopping) return;
    log.fatal({ err: error }, "could not start");
    await part.stop();
    exit(1);
  }
}
