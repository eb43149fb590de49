// SPDX-License-Identifier: Apache-2.0
// The one place that constructs the agent's long-lived parts.
import type { Clock } from "../src/lib/clock.js";
import { systemClock } from "../src/lib/clock.js";
import { Lifecycle } from "../src/lib/lifecycle.js";
import type { NamedPart, Part } from "../src/lib/lifecycle.js";
import { ENROLL_MS, MAX_REQUEST_MS, STOP_STEP_MS } from "../src/lib/limits.js";
import { requireAddress } from "../src/lib/listen-address.js";
import { listenerTls } from "../src/lib/listener-tls.js";
import type { Log } from "../src/lib/log.js";
import { TlsFiles } from "../src/lib/tls-files.js";
import { tlsFileNames } from "../src/lib/tls-settings.js";
import { createRegistry } from "../src/telemetry/metrics.js";
import { Readiness } from "../src/telemetry/readiness.js";
import { TelemetryServer } from "../src/telemetry/telemetry-server.js";
import type { AgentConfig } from "./agent-config.js";
import { AgentIdentity } from "./agent-identity.js";
import { createAgentMetrics } from "./agent-metrics.js";
import { CertificateRenewal } from "./certificate-renewal.js";
import { ControllerCredentials } from "./controller-credentials.js";
import { ControllerStreams } from "./controller-streams.js";
import { DisplayTunnels } from "./display-tunnels.js";
import { FailureLog } from "./failure-log.js";
import type { Hypervisor } from "./hypervisor.js";
import { HypervisorWatch } from "./hypervisor-watch.js";
import { IdentityFolder } from "./identity-folder.js";
import { Inventory } from "./inventory.js";
import { LibvirtHypervisor } from "./libvirt/libvirt-hypervisor.js";
import { createOperations } from "./operations.js";

/** What an agent is made of. */
export interface AgentOptions {
  readonly config: AgentConfig;
  /** The program's version, for people. */
  readonly version: string;
  readonly log: Log;
  /** Instead of libvirt's. */
  readonly hypervisor?: Hypervisor;
}

/**
 * The agent of one host. Its stop tells every controller that it leaves, finishes what is in flight while the hypervisor
 * still answers, and closes telemetry last.
 */
export class Agent implements Part {
  readonly readiness = new Readiness(["hypervisor", "controller"]);
  readonly telemetry: TelemetryServer;
  readonly #config: AgentConfig;
  readonly #log: Log;
  readonly #lifecycle: Lifecycle;

  constructor({ config, version, log, hypervisor: given }: AgentOptions) {
    this.#config = config;
    this.#log = log;
    const clock = systemClock;
    const registry = createRegistry();
    const { readiness } = this;
    const hypervisor = given ?? new LibvirtHypervisor({ uri: config.libvirt.uri, log });
    const metrics = createAgentMetrics(registry, () => ({
      abandonedWorkers: hypervisor instanceof LibvirtHypervisor ? hypervisor.abandonedWorkers : 0,
      tunnels,
    }));
    const { tls, parts: telemetryCertificate } = listenerTls("telemetry", config.telemetry, { metrics, log });
    const listen = requireAddress(config.telemetry.listen);
    this.telemetry = new TelemetryServer({ listen, tls, registry, readiness, log });
    const names = tlsFileNames(config.agent);
    const files = names && new TlsFiles({ name: "agent", files: names, metrics, log, clock });
    const credentials = new ControllerCredentials({ files, insecure: config.agent.insecure });
    const tunnels = new DisplayTunnels(clock, credentials);
    const inventory = new Inventory({ hypervisor, metrics, log, clock });
    const context = {
      identity: new AgentIdentity(config.agent.host, version),
      credentials,
      hypervisor,
      inventory,
      perform: createOperations({ hypervisor, settings: config.spice, tunnels }),
      metrics,
      log,
      failureLog: new FailureLog(log, clock),
      clock,
    };
    const streams = new ControllerStreams({ addresses: config.agent.controllers, context, readiness });
    this.#lifecycle = new Lifecycle(log, [
      ...telemetryCertificate,
      { name: "telemetry", part: this.telemetry },
      { name: "hypervisor", part: hypervisor },
      { name: "hypervisor watch", part: new HypervisorWatch({ hypervisor, readiness, metrics, clock }) },
      { name: "inventory", part: inventory },
      { name: "display tunnels", part: tunnels },
      ...(files ? [{ name: "certificate", part: files }] : []),
      ...renewalOf(config.agent, { log, clock }),
      { name: "controller streams", part: streams, stopMs: MAX_REQUEST_MS + STOP_STEP_MS },
    ]);
  }

  start(): Promise<void> {
    const { controllers, insecure } = this.#config.agent;
    if (insecure) this.#log.warn({ controllers }, "what goes to controllers is in the clear (agent.insecure)");
    return this.#lifecycle.start();
  }

  stop(): Promise<void> {
    return this.#lifecycle.stop();
  }
}

/** What keeps the certificate fresh, where the host has enrolled for it. */
function renewalOf(agent: AgentConfig["agent"], rest: { readonly log: Log; readonly clock: Clock }): NamedPart[] {
  const { enrollment: addresses, identity_folder: folder, host } = agent;
  if (addresses.length === 0) return [];
  const part = new CertificateRenewal({ folder: new IdentityFolder(folder, host), addresses, ...rest });
  return [{ name: "certificate renewal", part, stopMs: ENROLL_MS + STOP_STEP_MS }];
}
