// SPDX-License-Identifier: Apache-2.0
// What goes wrong, one thing after the other and again from the beginning. Each ends with everything running again.
import type { Progress } from "../../demo/progress.js";
import { waitUntil } from "../../demo/wait-until.js";
import { pause } from "../../src/lib/deadline.js";
import { agentsAndSnapshots, readMetrics } from "../bench/controller-figures.js";
import type { SoakStage } from "./soak-stage.js";
import type { Tally } from "./tally.js";

/** What is disrupted, and how often. */
export interface DisruptionsOptions {
  readonly stage: SoakStage;
  readonly tally: Tally;
  readonly progress: Progress;
  /** Between the end of one and the next, in milliseconds. */
  readonly restMs: number;
}

interface Disruption {
  readonly name: string;
  readonly act: () => Promise<void>;
}

const RECOVERS_MS = 60_000;
const AWAY_MS = 1_500;

/** The disruptions. `stop` waits for the one that is under way. */
export class Disruptions {
  readonly #options: DisruptionsOptions;
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;

  constructor(options: DisruptionsOptions) {
    this.#options = options;
  }

  /** Begins, after a rest. */
  start(): void {
    this.#running ??= this.#run();
  }

  /** Throws where something did not come back. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { restMs, progress, tally } = this.#options;
    const disruptions = this.#all();
    for (let index = 0; await pause(restMs, this.#stopping.signal); index += 1) {
      const { name, act } = disruptions[index % disruptions.length] as Disruption;
      const from = performance.now();
      progress(name);
      try {
        await act();
        await this.#recovers();
        tally.note(name, "recovered");
        progress(`all is well again after ${((performance.now() - from) / 1_000).toFixed(1)} s`);
      } catch (error) {
        tally.fail(name, String(error));
        progress(`${name}: ${String(error)}`);
      }
    }
  }

  #all(): readonly Disruption[] {
    const { stage } = this.#options;
    const [, controller] = stage.controllers;
    const [, agent] = stage.agents;
    if (!controller || !agent) throw new Error("nothing to kill");
    return [
      { name: "kill a controller", act: () => restart(controller.program, "SIGKILL") },
      { name: "kill an agent", act: () => restart(agent.program, "SIGKILL") },
      { name: "kill Postgres", act: () => restart(stage.postgres, "SIGKILL") },
      { name: "kill libvirtd", act: () => restart(stage.libvirtd, "SIGKILL") },
      { name: "kill the simulated hosts", act: () => this.#restartFleet() },
      { name: "stop a controller in order", act: () => stopAndStart(controller.program) },
      { name: "stop an agent in order", act: () => stopAndStart(agent.program) },
    ];
  }

  async #restartFleet(): Promise<void> {
    const { stage } = this.#options;
    await stage.killFleet();
    await pause(AWAY_MS);
    await stage.startFleet();
  }

  /** Every controller has every agent. */
  async #recovers(): Promise<void> {
    const { stage } = this.#options;
    const all = async (): Promise<boolean> => {
      for (const { telemetry } of stage.controllers) {
        if (agentsAndSnapshots(await readMetrics(telemetry)).agents !== stage.hosts) return false;
      }
      return true;
    };
    await waitUntil(all, { ms: RECOVERS_MS, what: "every controller to have every agent" });
  }
}

/** Kills it, leaves it dead for a moment and starts it again. */
async function restart(
  program: { kill(signal: NodeJS.Signals): void; start(): Promise<void> },
  signal: NodeJS.Signals,
): Promise<void> {
  program.kill(signal);
  await pause(AWAY_MS);
  await program.start();
}

async function stopAndStart(program: { stop(): Promise<void>; start(): Promise<void> }): Promise<void> {
  await program.stop();
  await program.start();
}
