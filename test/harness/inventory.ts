// SPDX-License-Identifier: Apache-2.0
import { randomBytes } from "node:crypto";
import type { AuditActor } from "../../src/audit/audit-log.js";
import type { Database } from "../../src/db/pool.js";
import type {
  DomainEventKind,
  HostHello,
  HostStream,
  ReportedDomain,
  ReportOutcome,
} from "../../src/instances/host.js";
import type { Instance, InstanceRegistration, PowerState } from "../../src/instances/instance.js";
import { InstanceRegistry } from "../../src/instances/instance-registry.js";
import type { InstanceRegistryOptions } from "../../src/instances/instance-registry.js";
import { silentLog } from "../../src/lib/log.js";
import { ConsoleAuthorizer } from "../../src/tokens/console-authorizer.js";
import type { Authorization, AuthorizationRequest } from "../../src/tokens/console-authorizer.js";

/** The actor of most tests. */
export const ACTOR: AuditActor = { subject: "alice", projectId: "p1", requestId: "req-1", clientAddress: "127.0.0.1" };

/** A registry over a database, not started: it has a memory but does not fill it by itself. */
export function registryOn(database: Database, options: Partial<InstanceRegistryOptions> = {}): InstanceRegistry {
  const controllerId = options.controllerId ?? randomBytes(16).toString("hex");
  return new InstanceRegistry({ database, log: silentLog, trustDomainMetadata: true, ...options, controllerId });
}

/** A uuid that ends in `n`. */
export function uuidOf(n: number): string {
  return `00000000-0000-4000-8000-${n.toString(16).padStart(12, "0")}`;
}

/** A Hello of one process of a host's agent. */
export function helloOf(host: string, processId = "1"): HostHello {
  const versions = { libvirtVersion: "9.0.0", hypervisorVersion: "7.2.22", detail: "" };
  const hypervisor = { available: true, ...versions, spice: true, vnc: true, graphicsFd: true };
  return { host, processId: processId.padStart(32, "0"), agentVersion: "0.1.0", hypervisor };
}

/** A domain as an agent reports it. */
export function domainOf(
  uuid: string,
  powerState: PowerState = "running",
  more: Partial<ReportedDomain> = {},
): ReportedDomain {
  return { uuid, name: "instance-1", powerState, displays: ["spice"], ...more };
}

/** An orchestrator's half with nothing in it. */
export function registrationOf(uuid: string, more: Partial<InstanceRegistration> = {}): InstanceRegistration {
  return { uuid, name: "", projectId: "", userId: "", host: "", vmState: "", taskState: "", ...more };
}

/** A host's agent: it numbers its reports, as a real one does, and speaks to one controller. */
export class TestAgent {
  readonly stream: HostStream;
  readonly #registry: InstanceRegistry;
  sequence = 0n;

  constructor(registry: InstanceRegistry, stream: HostStream) {
    this.#registry = registry;
    this.stream = stream;
  }

  static async connect(registry: InstanceRegistry, host: string, processId?: string): Promise<TestAgent> {
    return new TestAgent(registry, await registry.welcomeHost(helloOf(host, processId)));
  }

  snapshot(domains: readonly ReportedDomain[], sequence = ++this.sequence): Promise<ReportOutcome> {
    return this.#registry.applySnapshot(this.stream, { sequence, domains });
  }

  event(kind: DomainEventKind, domain: ReportedDomain, sequence = ++this.sequence): Promise<ReportOutcome> {
    return this.#registry.applyEvent(this.stream, { sequence, kind, domain });
  }

  disconnect(): Promise<void> {
    return this.#registry.hostDisconnected(this.stream);
  }
}

/** What Postgres says of an instance; throws where it is unknown or deleted. */
export async function stored(registry: InstanceRegistry, uuid: string): Promise<Instance> {
  const instance = await registry.findFresh(uuid);
  if (!instance) throw new Error(`instance ${uuid} is not stored`);
  return instance;
}

/** Issues a token for an instance on a host. */
export function authorize(
  database: Database,
  instanceUuid: string,
  agentHost: string,
  more: Partial<AuthorizationRequest> = {},
): Promise<Authorization> {
  return new ConsoleAuthorizer(database).authorize({
    instanceUuid,
    agentHost,
    consoleType: "spice-html5",
    host: "127.0.0.1",
    port: 5900,
    accessUrlBase: "http://127.0.0.1:6082/console",
    viewOnly: false,
    ttlSeconds: 600,
    actor: ACTOR,
    ...more,
  });
}
