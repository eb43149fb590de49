// SPDX-License-Identifier: Apache-2.0
// From the agent protocol's words to ours. Anything malformed is INVALID_ARGUMENT and costs the agent its stream.
import type {
  Domain,
  DomainEvent,
  Hello,
  HypervisorStatus,
  InventorySnapshot,
} from "../../proto/gen/spicegate/agent/v1/agent.js";
import { DisplayKind, DomainEventKind, DomainState } from "../../proto/gen/spicegate/agent/v1/agent.js";
import type { DomainEventKind as EventKind, HostHello, HypervisorReport, ReportedDomain } from "../instances/host.js";
import type { DisplayKind as Display, PowerState } from "../instances/instance.js";
import {
  MAX_DISPLAYS_PER_DOMAIN,
  MAX_HOST_LENGTH,
  MAX_NAME_LENGTH,
  MAX_TEXT_LENGTH,
  SNAPSHOT_PAGE_DOMAINS,
} from "../lib/limits.js";
import { invalid, isUuid, parseText } from "../lib/validate.js";

const PROCESS_ID = /^[0-9a-f]{32}$/;

const UNKNOWN_HYPERVISOR: HypervisorStatus = {
  available: false,
  libvirtVersion: "",
  hypervisorVersion: "",
  capabilities: undefined,
  detail: "",
};

const POWER_STATES = new Map<number, PowerState>([
  [DomainState.DOMAIN_STATE_RUNNING, "running"],
  [DomainState.DOMAIN_STATE_PAUSED, "paused"],
  [DomainState.DOMAIN_STATE_SHUT_OFF, "shut-off"],
  [DomainState.DOMAIN_STATE_SAVED, "saved"],
  [DomainState.DOMAIN_STATE_CRASHED, "crashed"],
  [DomainState.DOMAIN_STATE_SUSPENDED, "suspended"],
  [DomainState.DOMAIN_STATE_INCOMING, "incoming"],
]);

const EVENT_KINDS = new Map<number, EventKind>([
  [DomainEventKind.DOMAIN_EVENT_KIND_STARTED, "started"],
  [DomainEventKind.DOMAIN_EVENT_KIND_STOPPED, "stopped"],
  [DomainEventKind.DOMAIN_EVENT_KIND_CRASHED, "crashed"],
  [DomainEventKind.DOMAIN_EVENT_KIND_SUSPENDED, "suspended"],
  [DomainEventKind.DOMAIN_EVENT_KIND_RESUMED, "resumed"],
  [DomainEventKind.DOMAIN_EVENT_KIND_DEFINED, "defined"],
  [DomainEventKind.DOMAIN_EVENT_KIND_UNDEFINED, "undefined"],
  [DomainEventKind.DOMAIN_EVENT_KIND_MIGRATED, "migrated"],
]);

/** An agent's introduction. */
export function hostHelloFrom(hello: Hello): HostHello {
  if (!PROCESS_ID.test(hello.processId)) throw invalid("process_id", "must be 32 lower-case hexadecimal digits");
  return {
    host: parseText(hello.host, { field: "host", most: MAX_HOST_LENGTH, required: true }),
    processId: hello.processId,
    agentVersion: parseText(hello.agentVersion, { field: "agent_version", most: MAX_NAME_LENGTH }),
    hypervisor: hypervisorReportFrom(hello.hypervisor),
  };
}

/** The hypervisor's state; absent means not available. Without capabilities every display kind counts as present. */
export function hypervisorReportFrom(status: HypervisorStatus | undefined): HypervisorReport {
  const { available, libvirtVersion, hypervisorVersion, capabilities, detail } = status ?? UNKNOWN_HYPERVISOR;
  return {
    available,
    libvirtVersion: parseText(libvirtVersion, { field: "libvirt_version", most: MAX_NAME_LENGTH }),
    hypervisorVersion: parseText(hypervisorVersion, { field: "hypervisor_version", most: MAX_NAME_LENGTH }),
    detail: parseText(detail, { field: "detail", most: MAX_TEXT_LENGTH, free: true }),
    ...(capabilities ?? { spice: true, vnc: true, graphicsFd: false }),
  };
}

/** The domains of one page. */
export function domainsFrom(page: InventorySnapshot): ReportedDomain[] {
  if (page.domains.length > SNAPSHOT_PAGE_DOMAINS) {
    throw invalid("domains", `must have at most ${SNAPSHOT_PAGE_DOMAINS} entries a page`);
  }
  return page.domains.map(domainFrom);
}

/** What happened to which domain; undefined for a kind that this version does not know. */
export function changeFrom(event: DomainEvent): { kind: EventKind; domain: ReportedDomain } | undefined {
  const kind = EVENT_KINDS.get(event.kind);
  if (!kind) return undefined;
  if (!event.domain) throw invalid("domain", "must be present");
  return { kind, domain: domainFrom(event.domain) };
}

function domainFrom(domain: Domain): ReportedDomain {
  if (!isUuid(domain.instanceUuid)) throw invalid("instance_uuid", "must be a lower-case UUID");
  if (domain.displays.length > MAX_DISPLAYS_PER_DOMAIN)
    throw invalid("displays", `must have at most ${MAX_DISPLAYS_PER_DOMAIN} entries`);
  const name = (value: string, field: string): string => parseText(value, { field, most: MAX_NAME_LENGTH, free: true });
  const { owner } = domain;
  return {
    uuid: domain.instanceUuid,
    name: name(domain.name, "name"),
    powerState: POWER_STATES.get(domain.state) ?? "unknown",
    displays: domain.displays.map(displayFrom),
    owner: owner && {
      name: name(owner.name, "owner.name"),
      projectId: parseText(owner.projectId, { field: "owner.project_id", most: MAX_NAME_LENGTH }),
      userId: parseText(owner.userId, { field: "owner.user_id", most: MAX_NAME_LENGTH }),
    },
  };
}

function displayFrom(kind: DisplayKind): Display {
  if (kind === DisplayKind.DISPLAY_KIND_SPICE) return "spice";
  return kind === DisplayKind.DISPLAY_KIND_VNC ? "vnc" : "unknown";
}
