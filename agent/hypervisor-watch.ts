// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../src/lib/clock.js";
import { pause } from "../src/lib/deadline.js";
import type { Part } from "../src/lib/lifecycle.js";
import { LIBVIRT_FIRST_MS } from "../src/lib/limits.js";
import type { Readiness } from "../src/telemetry/readiness.js";
import type { AgentMetrics } from "./agent-metrics.js";
import type { Hypervisor, HypervisorStatus } from "./hypervisor.js";

/** What the watch looks at, and where it shows it. */
export interface HypervisorWatchOptions {
  readonly hypervisor: Hypervisor;
  /** Its condition "hypervisor" holds while the hypervisor answers. */
  readonly readiness: Readiness;
  readonly metrics: Pick<AgentMetrics, "hypervisorUp">;
  readonly clock: Clock;
}

/**
 * Shows in readiness and metrics whether the hypervisor answers. Its start waits a little until it does: an agent that
 * greets before would take the place of one that can answer, and could not answer itself.
 */
export class HypervisorWatch implements Part {
  readonly #options: HypervisorWatchOptions;
  readonly #waited = new AbortController();
  #unlisten: () => void = () => undefined;

  constructor(options: HypervisorWatchOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const { hypervisor, clock } = this.#options;
    this.#unlisten = hypervisor.onStatus((status) => this.#show(status));
    this.#show(hypervisor.status());
    await pause(LIBVIRT_FIRST_MS, this.#waited.signal, clock);
  }

  stop(): void {
    this.#waited.abort();
    this.#unlisten();
  }

  #show({ available, detail }: HypervisorStatus): void {
    const { readiness, metrics } = this.#options;
    readiness.set("hypervisor", available, detail);
    metrics.hypervisorUp.set(available ? 1 : 0);
    if (available) this.#waited.abort();
  }
}
