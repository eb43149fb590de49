// SPDX-License-Identifier: Apache-2.0
import type { Registry } from "prom-client";
import { Counter, Gauge, Histogram } from "prom-client";
import { LATENCY_BUCKETS } from "./metrics.js";

/** Every metric of the controller beyond those of the process. The help texts become the documentation. */
export interface ControllerMetrics {
  readonly rpcSeconds: Histogram<"method" | "reason">;
  readonly keystoneSeconds: Histogram<"outcome">;
  readonly authenticationFailures: Counter<"entrance">;
  readonly proxySeconds: Histogram<"route" | "reason">;
  readonly gatewaySeconds: Histogram<"route" | "reason">;
  readonly agentRequestSeconds: Histogram<"operation" | "outcome">;
  readonly agentsConnected: Gauge;
  readonly agentStreamsRefused: Counter<"reason">;
  readonly agentStreamsEnded: Counter<"cause">;
  readonly agentReplacements: Counter;
  readonly agentMessagesIgnored: Counter<"kind">;
  readonly reports: Counter<"kind" | "outcome">;
  readonly instances: Gauge;
  readonly ownershipConflicts: Gauge;
  readonly databaseUp: Gauge;
  readonly sessionsOpen: Gauge;
  readonly channelsOpen: Gauge<"type">;
  readonly channelBytes: Counter<"direction">;
  readonly refusals: Counter<"reason">;
  readonly limitsReached: Counter<"limit">;
  readonly firstByteSeconds: Histogram;
  readonly watches: Gauge;
  readonly instanceWatches: Gauge;
  readonly tlsCertificateExpiry: Gauge<"listener">;
  readonly tlsReloadFailures: Counter<"listener">;
  readonly policyReloadFailures: Counter;
  readonly consoleauthChecks: Counter<"result">;
  readonly consoleauthWriteFailures: Counter<"operation">;
}

/** Registers what every program that answers calls counts. Called once per registry. */
export function createCallMetrics(
  registry: Registry,
): Pick<ControllerMetrics, "rpcSeconds" | "authenticationFailures" | "keystoneSeconds" | "policyReloadFailures"> {
  const rpcSeconds = new Histogram({
    name: "spicegate_rpc_seconds",
    help: "Time to answer a call of the API, by method and reason (OK = served).",
    labelNames: ["method", "reason"] as const,
    buckets: LATENCY_BUCKETS,
    registers: [registry],
  });
  const authenticationFailures = new Counter({
    name: "spicegate_authentication_failures_total",
    help: "Calls whose token was missing, unknown, expired or revoked, by entrance (grpc, rest).",
    labelNames: ["entrance"] as const,
    registers: [registry],
  });
  const keystoneSeconds = new Histogram({
    name: "spicegate_keystone_seconds",
    help: "Time to ask Keystone whose a token is, by outcome (known, unknown, failed); what the cache knows is not asked.",
    labelNames: ["outcome"] as const,
    buckets: LATENCY_BUCKETS,
    registers: [registry],
  });
  const policyReloadFailures = new Counter({
    name: "spicegate_policy_reload_failures_total",
    help: "New versions of policy.file that were no good, so that the one before stayed in effect.",
    registers: [registry],
  });
  return { rpcSeconds, authenticationFailures, keystoneSeconds, policyReloadFailures };
}

/** Registers the controller's metrics. Called once per registry. */
export function createControllerMetrics(registry: Registry): ControllerMetrics {
  const registers = [registry];
  const counter = <T extends string>(name: string, help: string, labelNames: T[] = []): Counter<T> =>
    new Counter({ name: `spicegate_${name}`, help, labelNames, registers });
  const gauge = <T extends string = string>(name: string, help: string, labelNames: T[] = []): Gauge<T> =>
    new Gauge({ name: `spicegate_${name}`, help, labelNames, registers });
  const seconds = <T extends string>(name: string, help: string, labelNames: T[]): Histogram<T> =>
    new Histogram({ name: `spicegate_${name}`, help, labelNames, buckets: LATENCY_BUCKETS, registers });
  return {
    ...createCallMetrics(registry),
    proxySeconds: seconds(
      "proxy_seconds",
      "Time to answer a request of a browser, by route and reason (OK = served).",
      ["route", "reason"],
    ),
    gatewaySeconds: seconds(
      "gateway_seconds",
      "Time to answer a request over REST, by route and reason (OK = served).",
      ["route", "reason"],
    ),
    agentRequestSeconds: seconds(
      "agent_request_seconds",
      "Time an agent took to answer, by operation and outcome (OK or the reason).",
      ["operation", "outcome"],
    ),
    agentsConnected: gauge("agents_connected", "Agents with a live stream to this controller."),
    agentStreamsRefused: counter("agent_streams_refused_total", "Agents that were not let in, by reason.", ["reason"]),
    agentStreamsEnded: counter("agent_streams_ended_total", "Agent streams that ended, by cause.", ["cause"]),
    agentReplacements: counter(
      "agent_replacements_total",
      "Streams displaced by another agent process of the same host; steady growth means two agents share a name.",
    ),
    agentMessagesIgnored: counter(
      "agent_messages_ignored_total",
      "Messages of agents that this version does not know, and replies nobody waited for, by kind.",
      ["kind"],
    ),
    reports: counter("reports_total", "Inventory reports of agents, by kind and outcome (applied, stale, failed).", [
      "kind",
      "outcome",
    ]),
    instances: gauge("instances", "Instances known to this controller."),
    ownershipConflicts: gauge(
      "ownership_conflicts",
      "Instances that two hosts say they run; look for a machine that runs twice.",
    ),
    databaseUp: gauge("database_up", "1 while Postgres answers, else 0."),
    sessionsOpen: gauge("sessions_open", "Sessions with a channel on this controller."),
    channelsOpen: gauge(
      "channels_open",
      "Channels on this controller, by type (unknown until the viewer has said it).",
      ["type"],
    ),
    channelBytes: counter(
      "channel_bytes_total",
      "Bytes that channels have carried, by direction (to_machine, to_viewer).",
      ["direction"],
    ),
    refusals: counter("viewer_refusals_total", "Viewers that were refused a session or a channel, by reason.", [
      "reason",
    ]),
    limitsReached: counter(
      "limits_reached_total",
      "What a limit refused or slowed down, and sessions that one ended, by the limit's setting: of sessions (max_per_instance, max_per_caller, max_per_controller, max_channels, second_viewer, idle_time), of console (channel_types), or of limits.",
      ["limit"],
    ),
    firstByteSeconds: seconds(
      "channel_first_byte_seconds",
      "Time from a viewer's asking for a channel to the machine's first byte.",
      [],
    ),
    watches: gauge("watches_open", "Calls that are watching sessions."),
    instanceWatches: gauge("instance_watches_open", "Calls that are watching instances."),
    tlsCertificateExpiry: gauge(
      "tls_certificate_expiry_timestamp_seconds",
      "When the certificate of a listener expires, in seconds since 1970, by listener.",
      ["listener"],
    ),
    tlsReloadFailures: counter(
      "tls_reload_failures_total",
      "New certificates that were no good, so that the one before stayed in effect, by listener.",
      ["listener"],
    ),
    consoleauthChecks: counter(
      "consoleauth_checks_total",
      "Tokens that the legacy store was asked for, by result: legacy-only (the database did not know it), both, stale (legacy only, and of no use any more), miss, failed.",
      ["result"],
    ),
    consoleauthWriteFailures: counter(
      "consoleauth_write_failures_total",
      "Changes that the legacy store did not take, by operation (authorize, consume, delete).",
      ["operation"],
    ),
  };
}
