// SPDX-License-Identifier: Apache-2.0
import { Registry } from "prom-client";
import { ControllerCredentials } from "../../agent/controller-credentials.js";
import { AgentIdentity } from "../../agent/agent-identity.js";
import { createAgentMetrics } from "../../agent/agent-metrics.js";
import type { SessionContext } from "../../agent/control-session.js";
import { DisplayTunnels } from "../../agent/display-tunnels.js";
import { FailureLog } from "../../agent/failure-log.js";
import { Inventory } from "../../agent/inventory.js";
import { createOperations } from "../../agent/operations.js";
import type { Clock } from "../../src/lib/clock.js";
import { systemClock } from "../../src/lib/clock.js";
import { silentLog } from "../../src/lib/log.js";
import { FakeHypervisor } from "../fakes/fake-hypervisor.js";

/** Everything of an agent below its streams, over a hypervisor in memory. */
export class AgentParts {
  readonly hypervisor: FakeHypervisor;
  readonly tunnels: DisplayTunnels;
  readonly #registry = new Registry();
  readonly context: SessionContext;

  /** With a clock of its own the hypervisor can be one that does not keep to its deadlines. */
  constructor(clock: Clock = systemClock, hypervisorClock: Clock = clock) {
    const hypervisor = new FakeHypervisor(hypervisorClock);
    this.hypervisor = hypervisor;
    const credentials = new ControllerCredentials();
    const tunnels = new DisplayTunnels(clock, credentials);
    this.tunnels = tunnels;
    const metrics = createAgentMetrics(this.#registry, () => ({ abandonedWorkers: 0, tunnels }));
    const log = silentLog;
    const inventory = new Inventory({ hypervisor, metrics, log, clock });
    inventory.start();
    const settings = { enabled: true, server_proxyclient_address: "127.0.0.1" };
    this.context = {
      identity: new AgentIdentity("host-a", "1.2.3"),
      credentials,
      hypervisor,
      inventory,
      perform: createOperations({ hypervisor, settings, tunnels }),
      metrics,
      log,
      failureLog: new FailureLog(log, clock),
      clock,
    };
  }

  /** The value of a metric, all labels together or those given. */
  async metric(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
    const metric = await this.#registry.getSingleMetric(`spicegate_agent_${name}`)?.get();
    const fits = (sample: Record<string, unknown>): boolean =>
      Object.entries(labels).every(([label, value]) => sample[label] === value);
    return (metric?.values ?? []).reduce((sum, sample) => sum + (fits(sample.labels) ? sample.value : 0), 0);
  }

  async stop(): Promise<void> {
    await this.tunnels.stop();
    this.context.inventory.stop();
  }
}
