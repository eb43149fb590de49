// SPDX-License-Identifier: Apache-2.0
import type { Registry } from "prom-client";
import { Counter, Gauge, Histogram } from "prom-client";
import { LATENCY_BUCKETS } from "../src/telemetry/metrics.js";

/** Every metric of the agent beyond those of the process. The help texts become the documentation. */
export interface AgentMetrics {
  readonly requests: Counter<"operation" | "outcome">;
  readonly requestSeconds: Histogram<"operation">;
  readonly streams: Gauge<"state">;
  readonly reconnects: Counter;
  readonly streamsCut: Counter;
  readonly messagesIgnored: Counter;
  readonly reports: Counter<"kind">;
  readonly eventsDropped: Counter;
  readonly hypervisorUp: Gauge;
}

/** Registers the agent's metrics. Called once per registry; `abandonedWorkers` is asked with every scrape. */
export function createAgentMetrics(registry: Registry, abandonedWorkers: () => number = () => 0): AgentMetrics {
  const registers = [registry];
  const counter = <T extends string>(name: string, help: string, labelNames: T[] = []): Counter<T> =>
    new Counter({ name: `spicegate_agent_${name}`, help, labelNames, registers });
  const gauge = <T extends string>(name: string, help: string, labelNames: T[] = []): Gauge<T> =>
    new Gauge({ name: `spicegate_agent_${name}`, help, labelNames, registers });
  new Gauge({
    name: "spicegate_agent_abandoned_workers",
    help: "Worker threads that are stuck inside libvirt for good; more than 0 asks for a restart of the agent.",
    registers,
    collect() {
      this.set(abandonedWorkers());
    },
  });
  return {
    requests: counter(
      "requests_total",
      "Requests of controllers by operation and outcome: OK, CANCELLED, or the reason of the failure.",
      ["operation", "outcome"],
    ),
    requestSeconds: new Histogram({
      name: "spicegate_agent_operation_seconds",
      help: "Time to answer a request, by operation; refused and cancelled ones are left out.",
      labelNames: ["operation"],
      buckets: LATENCY_BUCKETS,
      registers,
    }),
    streams: gauge(
      "streams",
      "Streams to controllers by state: idle, connecting, greeting, open, draining, waiting, stopped.",
      ["state"],
    ),
    reconnects: counter("reconnects_total", "Attempts to connect to a controller after the first one."),
    streamsCut: counter(
      "streams_cut_total",
      "Streams cut because the controller did not take what was sent; look for a controller that is stuck.",
    ),
    messagesIgnored: counter(
      "messages_ignored_total",
      "Messages of controllers that this version does not know or that came out of turn.",
    ),
    reports: counter("reports_total", "Reports sent on all streams, by kind: page (of a snapshot), event, status.", [
      "kind",
    ]),
    eventsDropped: counter(
      "events_dropped_total",
      "Events of domains that were not reported one by one; a snapshot replaced them.",
    ),
    hypervisorUp: gauge("hypervisor_up", "1 while libvirt answers, else 0."),
  };
}
