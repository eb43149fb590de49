// SPDX-License-Identifier: Apache-2.0
import type { Part } from "../../src/lib/lifecycle.js";
import type { SimulatedHostsOptions } from "../harness/simulated-hosts.js";
import { BenchProcess } from "./bench-process.js";

/** How many hosts there are, and how many of them a controller has let in. */
export interface FleetCount {
  readonly hosts: number;
  readonly connected: number;
}

/** A fleet's own options. */
export interface FleetOptions extends SimulatedHostsOptions {
  readonly processes: number;
  readonly domainsEach: number;
  /** The number of the first host; 0 by default. */
  readonly first?: number;
}

/** So many at a time: hosts of a real fleet do not start in the same instant either. */
const AT_ONCE = 50;

/** Simulated hosts, spread over processes. They are numbered in the order in which they are added. */
export class Fleet implements Part {
  readonly #options: FleetOptions;
  readonly #processes: readonly BenchProcess<SimulatedHostsOptions>[];
  #size = 0;

  constructor(options: FleetOptions) {
    const { processes, controllers, displayPort } = options;
    this.#options = options;
    this.#processes = Array.from(
      { length: processes },
      () => new BenchProcess("./simulated-hosts-process.js", { controllers, displayPort }),
    );
  }

  /** How many hosts were added. */
  get size(): number {
    return this.#size;
  }

  /** The pids of its processes. */
  get pids(): readonly number[] {
    return this.#processes.map(({ pid }) => pid);
  }

  async start(): Promise<void> {
    await Promise.all(this.#processes.map((one) => one.start()));
  }

  /** Adds hosts until there are so many; they go on connecting when this returns. */
  async growTo(size: number): Promise<void> {
    const { first = 0, domainsEach } = this.#options;
    while (this.#size < size) {
      const shares = this.#processes.map(async (one, index) => {
        const from = this.#size + index * AT_ONCE;
        const count = Math.max(0, Math.min(AT_ONCE, size - from));
        await one.ask({ first: first + from, count, domainsEach });
      });
      await Promise.all(shares);
      this.#size = Math.min(size, this.#size + this.#processes.length * AT_ONCE);
    }
  }

  /** How many hosts a controller has let in. */
  async connected(): Promise<number> {
    const counts = await Promise.all(
      this.#processes.map((one) => one.ask({ first: 0, count: 0, domainsEach: 0 }) as Promise<FleetCount>),
    );
    return counts.reduce((sum, { connected }) => sum + connected, 0);
  }

  /** Kills all hosts, as when they lose power. Twice is harmless. */
  async stop(): Promise<void> {
    await Promise.all(this.#processes.map((one) => one.stop()));
    this.#size = 0;
  }
}
