// SPDX-License-Identifier: Apache-2.0
import type { Registry } from "prom-client";
import { Counter, Gauge, Histogram } from "prom-client";
import { LATENCY_BUCKETS } from "../src/telemetry/metrics.js";

/** The agent's own metrics. Their help texts are the documentation. */
export class AgentMetrics {
  readonly requests: Counter<"operation" | "outcome">;
  readonly requestSeconds: Histogram<"operation">;
  readonly streams: Gauge<"state">;
  readonly reconnects: Counter;
  readonly streamsCut: Counter;
  readonly unknownMessages: Counter;
  readonly reports: Counter<"kind">;
  readonly eventsDropped: Counter;
  readonly hypervisorUp: Gauge;

  constructor(registry: Registry) {
    const registers = [registry];
    this.requests = new Counter({
      name: "spicegate_agent_requests_total",
      help: "Requests of controllers by operation and outcome: OK, CANCELLED, or the reason of the failure.",
      labelNames: ["operation", "outcome"],
      registers,
    });
    this.requestSeconds = new Histogram({
      name: "spicegate_agent_request_seconds",
      help: "How long requests took that were worked on, cancelled ones left out.",
      labelNames: ["operation"],
      buckets: LATENCY_BUCKETS,
      registers,
    });
    this.streams = new Gauge({
      name: "spicegate_agent_streams",
      help: "Streams to controllers by state: idle, connecting, greeting, open, draining, waiting, stopped.",
      labelNames: ["state"],
      registers,
    });
    this.reconnects = new Counter({
      name: "spicegate_agent_reconnects_total",
      help: "Attempts to connect to a controller after the first one.",
      registers,
    });
    this.streamsCut = new Counter({
      name: "spicegate_agent_streams_cut_total",
      help: "Streams cut because the controller did not take what was sent to it.",
      registers,
    });
    this.unknownMessages = new Counter({
      name: "spicegate_agent_unknown_messages_total",
      help: "Messages of controllers that this version does not know or that came out of turn, and that were ignored.",
      registers,
    });
    this.reports = new Counter({
      name: "spicegate_agent_reports_total",
      help: "Reports sent, on all streams together, by kind: page (of a snapshot), event, status.",
      labelNames: ["kind"],
      registers,
    });
    this.eventsDropped = new Counter({
      name: "spicegate_agent_events_dropped_total",
      help: "Events of domains that were not reported one by one; a snapshot replaced them.",
      registers,
    });
    this.hypervisorUp = new Gauge({
      name: "spicegate_agent_hypervisor_up",
      help: "1 while libvirt answers, else 0.",
      registers,
    });
  }
}
