// SPDX-License-Identifier: Apache-2.0
// The one place that constructs the agent's long-lived parts.
import { systemClock } from "../src/lib/clock.js";
import type { NamedPart, Part } from "../src/lib/lifecycle.js";
import { Lifecycle } from "../src/lib/lifecycle.js";
import { MAX_REQUEST_MS, STOP_STEP_MS } from "../src/lib/limits.js";
import type { Address } from "../src/lib/listen-address.js";
import { parseAddress } from "../src/lib/listen-address.js";
import type { Log } from "../src/lib/log.js";
import { createRegistry } from "../src/telemetry/metrics.js";
import { Readiness } from "../src/telemetry/readiness.js";
import { TelemetryServer } from "../src/telemetry/telemetry-server.js";
import type { AgentConfig } from "./agent-config.js";
import { AgentIdentity } from "./agent-identity.js";
import { AgentMetrics } from "./agent-metrics.js";
import { ControllerStreams } from "./controller-streams.js";
import { FailureLog } from "./failure-log.js";
import type { Hypervisor } from "./hypervisor.js";
import { Inventory } from "./inventory.js";
import { createOperations } from "./operations.js";

/** What an agent is made of. */
export interface AgentOptions {
  readonly config: AgentConfig;
  /** The program's version, for people. */
  readonly version: string;
  readonly hypervisor: Hypervisor;
  readonly log: Log;
}

/** A running agent: its parts, started in order and stopped in reverse. */
export interface Agent extends Part {
  readonly readiness: Readiness;
  readonly telemetry: TelemetryServer;
}

/**
 * Builds an agent. Its stop tells every controller that it leaves, finishes what is in flight while the hypervisor still
 * answers, and shuts telemetry last.
 */
export function createAgent({ config, version, hypervisor, log }: AgentOptions): Agent {
  const clock = systemClock;
  const registry = createRegistry();
  const metrics = new AgentMetrics(registry);
  const readiness = new Readiness(["hypervisor", "controller"]);
  const telemetry = new TelemetryServer({ listen: listenAddress(config), registry, readiness, log });
  const inventory = new Inventory({ hypervisor, metrics, log, clock });
  const identity = new AgentIdentity(config.agent.host, version);
  const perform = createOperations({ hypervisor, settings: config.spice });
  const failureLog = new FailureLog(log, clock);
  const context = { identity, hypervisor, inventory, perform, metrics, log, failureLog, clock };
  const streams = new ControllerStreams({ addresses: config.agent.controllers, context, readiness });
  const parts: NamedPart[] = [
    { name: "telemetry", part: telemetry },
    { name: "hypervisor", part: hypervisor },
    { name: "hypervisor watch", part: watchHypervisor(hypervisor, { readiness, metrics, log }) },
    { name: "inventory", part: inventory },
    { name: "controller streams", part: streams, stopMs: MAX_REQUEST_MS + STOP_STEP_MS },
  ];
  const lifecycle = new Lifecycle(log, parts);
  return { readiness, telemetry, start: () => lifecycle.start(), stop: () => lifecycle.stop() };
}

interface Watchers {
  readonly readiness: Readiness;
  readonly metrics: AgentMetrics;
  readonly log: Log;
}

/** Shows in readiness, metrics and log whether the hypervisor answers. */
function watchHypervisor(hypervisor: Hypervisor, { readiness, metrics, log }: Watchers): Part {
  let unlisten = (): void => undefined;
  const show = (): void => {
    const { available, detail, info } = hypervisor.status();
    readiness.set("hypervisor", available, detail);
    metrics.hypervisorUp.set(available ? 1 : 0);
    if (available) log.info({ ...info }, "the hypervisor answers");
    else log.warn({ detail }, "the hypervisor does not answer");
  };
  return {
    start() {
      unlisten = hypervisor.onStatus(show);
      show();
    },
    stop: () => unlisten(),
  };
}

function listenAddress(config: AgentConfig): Address {
  const address = parseAddress(config.telemetry.listen);
  if (!address) throw new Error("telemetry.listen was not checked");
  return address;
}
