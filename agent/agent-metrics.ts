// SPDX-License-Identifier: Apache-2.0
import type { Registry } from "prom-client";
import { Counter, Gauge, Histogram } from "prom-client";
import type { Traffic } from "./display-tunnel.js";
import type { Means } from "./open-display.js";
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
  readonly tlsCertificateExpiry: Gauge<"listener">;
  readonly tlsReloadFailures: Counter<"listener">;
}

/** What is counted elsewhere, and asked for with every scrape. */
export interface AgentReadings {
  readonly abandonedWorkers: number;
  readonly tunnels: {
    readonly open: number;
    readonly opened: Readonly<Record<Means, number>>;
    readonly traffic: Traffic;
  };
}

const NOTHING: AgentReadings = {
  abandonedWorkers: 0,
  tunnels: { open: 0, opened: { fd: 0, socket: 0, tcp: 0, tls: 0 }, traffic: { toController: 0, toDisplay: 0 } },
};

/** Registers the agent's metrics. Called once per registry. */
export function createAgentMetrics(registry: Registry, read: () => AgentReadings = () => NOTHING): AgentMetrics {
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
      this.set(read().abandonedWorkers);
    },
  });
  registerTunnels(registry, () => read().tunnels);
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
      "Streams to controllers by state: idle, connecting, greeting, open, draining, waiting, standby (another address leads to the same controller), stopped.",
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
    tlsCertificateExpiry: gauge(
      "tls_certificate_expiry_timestamp_seconds",
      "When a certificate expires, in seconds since 1970, by the section of the settings that names it: agent, telemetry.",
      ["listener"],
    ),
    tlsReloadFailures: counter(
      "tls_reload_failures_total",
      "New certificates that were no good, so that the one before stayed in effect, by the section that names them.",
      ["listener"],
    ),
  };
}

/** Tunnels count for themselves: nothing is added to the way of each byte. */
function registerTunnels(registry: Registry, read: () => AgentReadings["tunnels"]): void {
  const registers = [registry];
  new Gauge({
    name: "spicegate_agent_tunnels",
    help: "Displays that are carried to controllers now, one for each channel of a viewer.",
    registers,
    collect() {
      this.set(read().open);
    },
  });
  new Counter({
    name: "spicegate_agent_tunnels_opened_total",
    help: "Displays opened, by means: fd (libvirt's descriptor), socket (the display's unix socket), tcp (its port), tls (its TLS port).",
    labelNames: ["means"],
    registers,
    collect() {
      this.reset();
      for (const [means, count] of Object.entries(read().opened)) this.inc({ means }, count);
    },
  });
  new Counter({
    name: "spicegate_agent_tunnel_bytes_total",
    help: "Bytes carried, by direction: to_controller (the screen), to_display (keys and mouse).",
    labelNames: ["direction"],
    registers,
    collect() {
      const { toController, toDisplay } = read().traffic;
      this.reset();
      this.inc({ direction: "to_controller" }, toController);
      this.inc({ direction: "to_display" }, toDisplay);
    },
  });
}
