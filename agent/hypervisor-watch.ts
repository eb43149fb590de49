// SPDX-License-Identifier: Apache-2.0
import type { Part } from "../src/lib/lifecycle.js";
import type { Readiness } from "../src/telemetry/readiness.js";
import type { AgentMetrics } from "./agent-metrics.js";
import type { Hypervisor, HypervisorStatus } from "./hypervisor.js";

/** What the watch looks at, and where it shows it. */
export interface HypervisorWatchOptions {
  readonly hypervisor: Hypervisor;
  /** Its condition "hypervisor" holds while the hypervisor answers. */
  readonly readiness: Readiness;
  readonly metrics: Pick<AgentMetrics, "hypervisorUp">;
}

/** Shows in readiness and metrics whether the hypervisor answers. */
export class HypervisorWatch implements Part {
  readonly #options: HypervisorWatchOptions;
  #unlisten: () => void = () => undefined;

  constructor(options: HypervisorWatchOptions) {
    this.#options = options;
  }

  start(): void {
    const { hypervisor } = this.#options;
    this.#unlisten = hypervisor.onStatus((status) => this.#show(status));
    this.#show(hypervisor.status());
  }

  stop(): void {
    this.#unlisten();
  }

  #show({ available, detail }: HypervisorStatus): void {
    const { readiness, metrics } = this.#options;
    readiness.set("hypervisor", available, detail);
    metrics.hypervisorUp.set(available ? 1 : 0);
  }
}
