// SPDX-License-Identifier: Apache-2.0
// Hosts without a machine under them, thousands in one process: the agent's own parts below its streams and above its
// hypervisor, over hypervisors in memory. What they say to a controller, when they come back and how they open displays
// is the agent's own code.
import { Registry } from "prom-client";
import { ControllerCredentials } from "../../agent/controller-credentials.js";
import { AgentIdentity } from "../../agent/agent-identity.js";
import { createAgentMetrics } from "../../agent/agent-metrics.js";
import { ControllerStreams } from "../../agent/controller-streams.js";
import { DisplayTunnels } from "../../agent/display-tunnels.js";
import { FailureLog } from "../../agent/failure-log.js";
import { Inventory } from "../../agent/inventory.js";
import { createOperations } from "../../agent/operations.js";
import { systemClock } from "../../src/lib/clock.js";
import type { Part } from "../../src/lib/lifecycle.js";
import { silentLog } from "../../src/lib/log.js";
import { Readiness } from "../../src/telemetry/readiness.js";
import { uuidOf } from "../fakes/domains.js";
import { FakeHypervisor } from "../fakes/fake-hypervisor.js";

/** Where the hosts belong. */
export interface SimulatedHostsOptions {
  /** host:port of each controller's listener for agents. */
  readonly controllers: readonly string[];
  /** The port on 127.0.0.1 that every domain names as its display's. */
  readonly displayPort: number;
}

/** Hosts of consecutive numbers. */
export interface HostRange {
  readonly first: number;
  readonly count: number;
  /** How many domains each of them runs. */
  readonly domainsEach: number;
}

const MAX_DOMAINS = 10_000;
const VERSION = "simulated";

/** The name of the host with this number. */
export function simulatedHostName(host: number): string {
  return `simulated-${host.toString().padStart(5, "0")}`;
}

/** A domain of the host with this number. */
export function simulatedUuid(host: number, domain = 0): string {
  return uuidOf(host * MAX_DOMAINS + domain);
}

/** The hosts of one process. Those that are added connect by themselves and again whenever they are cut off. */
export class SimulatedHosts implements Part {
  readonly #options: SimulatedHostsOptions;
  readonly #metrics = createAgentMetrics(new Registry());
  readonly #failureLog = new FailureLog(silentLog, systemClock);
  readonly #credentials = new ControllerCredentials();
  readonly #tunnels = new DisplayTunnels(systemClock, this.#credentials);
  readonly #inventories: Inventory[] = [];
  readonly #streams: ControllerStreams[] = [];
  #connected = 0;

  constructor(options: SimulatedHostsOptions) {
    this.#options = options;
  }

  /** Nothing to start: hosts start as they are added. */
  start(): void {
    this.#connected = 0;
  }

  /** How many hosts there are, connected or not. */
  get size(): number {
    return this.#streams.length;
  }

  /** How many of them have been let in by a controller. */
  get connected(): number {
    return this.#connected;
  }

  /** Adds hosts, which begin to connect at once. */
  add({ first, count, domainsEach }: HostRange): void {
    for (let host = first; host < first + count; host += 1) this.#addHost(host, domainsEach);
  }

  /** Lets every host leave in an orderly way. */
  async stop(): Promise<void> {
    await Promise.all(this.#streams.map((streams) => streams.stop()));
    for (const inventory of this.#inventories) inventory.stop();
    await this.#tunnels.stop();
  }

  #addHost(host: number, domains: number): void {
    const hypervisor = this.#hypervisor(host, domains);
    const common = { metrics: this.#metrics, log: silentLog, clock: systemClock };
    const inventory = new Inventory({ hypervisor, ...common });
    inventory.start();
    const settings = { enabled: true, server_proxyclient_address: "127.0.0.1" };
    const context = {
      identity: new AgentIdentity(simulatedHostName(host), VERSION),
      credentials: this.#credentials,
      hypervisor,
      inventory,
      perform: createOperations({ hypervisor, settings, tunnels: this.#tunnels }),
      failureLog: this.#failureLog,
      ...common,
    };
    const streams = new ControllerStreams({
      addresses: this.#options.controllers,
      context,
      readiness: this.#readiness(),
    });
    this.#inventories.push(inventory);
    this.#streams.push(streams);
    streams.start();
  }

  #hypervisor(host: number, domains: number): FakeHypervisor {
    const hypervisor = new FakeHypervisor();
    const display = { kind: "spice", listen: "address", port: this.#options.displayPort } as const;
    for (let domain = 0; domain < domains; domain += 1) {
      const uuid = simulatedUuid(host, domain);
      hypervisor.put({ uuid, name: `simulated-${host}-${domain}`, state: "running", displays: [display] });
    }
    return hypervisor;
  }

  #readiness(): Readiness {
    const readiness = new Readiness(["controller"]);
    readiness.onChange((ready) => (this.#connected += ready ? 1 : -1));
    return readiness;
  }
}
