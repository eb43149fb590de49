// SPDX-License-Identifier: Apache-2.0
// From the agent's own words to those of agent.proto. Texts are cut to the protocol's limits here, so that a strange
// domain costs its name and not the stream.
import type * as proto from "../proto/gen/spicegate/agent/v1/agent.js";
import {
  ConnectRequest,
  DisplayKind,
  DomainEventKind,
  DomainState,
  FailureReason,
  ListenKind,
} from "../proto/gen/spicegate/agent/v1/agent.js";
import { MAX_DISPLAYS_PER_DOMAIN, MAX_NAME_LENGTH, MAX_TEXT_LENGTH } from "../src/lib/limits.js";
import { reasonOf } from "../src/lib/service-error.js";
import type * as own from "./hypervisor.js";

/** An agent message without its wrapper. */
export type AgentMessage = NonNullable<ConnectRequest["message"]>;

const STATES = {
  running: DomainState.DOMAIN_STATE_RUNNING,
  paused: DomainState.DOMAIN_STATE_PAUSED,
  "shut-off": DomainState.DOMAIN_STATE_SHUT_OFF,
  saved: DomainState.DOMAIN_STATE_SAVED,
  crashed: DomainState.DOMAIN_STATE_CRASHED,
  suspended: DomainState.DOMAIN_STATE_SUSPENDED,
  incoming: DomainState.DOMAIN_STATE_INCOMING,
  unknown: DomainState.DOMAIN_STATE_UNSPECIFIED,
} as const satisfies Record<own.DomainState, DomainState>;

const DISPLAYS = {
  spice: DisplayKind.DISPLAY_KIND_SPICE,
  vnc: DisplayKind.DISPLAY_KIND_VNC,
  other: DisplayKind.DISPLAY_KIND_UNSPECIFIED,
} as const satisfies Record<own.DomainDisplay["kind"], DisplayKind>;

const EVENTS = {
  started: DomainEventKind.DOMAIN_EVENT_KIND_STARTED,
  stopped: DomainEventKind.DOMAIN_EVENT_KIND_STOPPED,
  crashed: DomainEventKind.DOMAIN_EVENT_KIND_CRASHED,
  suspended: DomainEventKind.DOMAIN_EVENT_KIND_SUSPENDED,
  resumed: DomainEventKind.DOMAIN_EVENT_KIND_RESUMED,
  defined: DomainEventKind.DOMAIN_EVENT_KIND_DEFINED,
  undefined: DomainEventKind.DOMAIN_EVENT_KIND_UNDEFINED,
  migrated: DomainEventKind.DOMAIN_EVENT_KIND_MIGRATED,
} as const satisfies Record<own.DomainChangeKind, DomainEventKind>;

const LISTENS = {
  address: ListenKind.LISTEN_KIND_ADDRESS,
  network: ListenKind.LISTEN_KIND_NETWORK,
  socket: ListenKind.LISTEN_KIND_SOCKET,
  none: ListenKind.LISTEN_KIND_NONE,
  unknown: ListenKind.LISTEN_KIND_UNSPECIFIED,
} as const satisfies Record<own.ListenKind, ListenKind>;

const FAILURES = {
  INVALID_ARGUMENT: FailureReason.FAILURE_REASON_INVALID_ARGUMENT,
  INSTANCE_NOT_FOUND: FailureReason.FAILURE_REASON_INSTANCE_NOT_FOUND,
  INSTANCE_NOT_RUNNING: FailureReason.FAILURE_REASON_INSTANCE_NOT_RUNNING,
  SPICE_DISABLED: FailureReason.FAILURE_REASON_SPICE_DISABLED,
  NO_SPICE_DISPLAY: FailureReason.FAILURE_REASON_NO_SPICE_DISPLAY,
  HOST_LACKS_SPICE: FailureReason.FAILURE_REASON_HOST_LACKS_SPICE,
  TARGET_CHANGED: FailureReason.FAILURE_REASON_TARGET_CHANGED,
  HYPERVISOR_UNAVAILABLE: FailureReason.FAILURE_REASON_HYPERVISOR_UNAVAILABLE,
  LIMITED: FailureReason.FAILURE_REASON_LIMITED,
  UNIMPLEMENTED: FailureReason.FAILURE_REASON_UNIMPLEMENTED,
  DRAINING: FailureReason.FAILURE_REASON_DRAINING,
  INTERNAL: FailureReason.FAILURE_REASON_INTERNAL,
  TARGET_REFUSED: FailureReason.FAILURE_REASON_TARGET_REFUSED,
} as const;

/** The name of a failure, as the protocol, logs and metrics call it. */
export type FailureName = keyof typeof FAILURES;

/** The bytes of an agent message. */
export function encodeMessage(message: AgentMessage): Buffer {
  return Buffer.from(ConnectRequest.encode({ message }).finish());
}

/** A domain as a snapshot or an event shows it. */
export function domainFromDescription(domain: own.DomainDescription): proto.Domain {
  return {
    instanceUuid: domain.uuid,
    name: clip(domain.name, MAX_NAME_LENGTH),
    state: STATES[domain.state],
    displays: domain.displays.slice(0, MAX_DISPLAYS_PER_DOMAIN).map(({ kind }) => DISPLAYS[kind]),
    owner: domain.owner && {
      name: clip(domain.owner.name, MAX_NAME_LENGTH),
      projectId: clip(domain.owner.projectId, MAX_NAME_LENGTH),
      userId: clip(domain.owner.userId, MAX_NAME_LENGTH),
    },
  };
}

/**
 * What a change means together with how the domain looks after it. A domain that is gone was undefined, whatever the
 * event said (transient domains end without another event); one that is still there was not, though libvirt says
 * "undefined" of a running domain that only lost its definition.
 */
export function eventFromChange(
  sequence: bigint,
  change: own.DomainChange,
  after: own.DomainDescription | undefined,
): proto.DomainEvent {
  if (after === undefined) {
    const { uuid: instanceUuid, name } = change;
    const state = DomainState.DOMAIN_STATE_UNSPECIFIED;
    const domain = { instanceUuid, name: clip(name, MAX_NAME_LENGTH), state, displays: [], owner: undefined };
    return { sequence, kind: EVENTS.undefined, domain };
  }
  const kind = change.kind === "undefined" ? EVENTS.defined : EVENTS[change.kind];
  return { sequence, kind, domain: domainFromDescription(after) };
}

/** The hypervisor's status. What is not known yet counts as present. */
export function statusFromHypervisor({ available, info, detail }: own.HypervisorStatus): proto.HypervisorStatus {
  return {
    available,
    libvirtVersion: clip(info?.libvirtVersion ?? "", MAX_TEXT_LENGTH),
    hypervisorVersion: clip(info?.hypervisorVersion ?? "", MAX_TEXT_LENGTH),
    capabilities: { spice: info?.spice ?? true, vnc: info?.vnc ?? true, graphicsFd: info?.graphicsFd ?? false },
    detail: clip(detail, MAX_TEXT_LENGTH),
  };
}

/** How a display listens. */
export function listenKindFromDisplay(listen: own.ListenKind): ListenKind {
  return LISTENS[listen];
}

/** A controller asked for something this agent does not know. */
export class UnknownOperation extends Error {
  override readonly name = "UnknownOperation";

  constructor() {
    super("this agent does not know the operation");
  }
}

/** The failure that an error is to a controller: INTERNAL for everything the protocol has no word for. */
export function failureNameOf(error: unknown): FailureName {
  if (error instanceof UnknownOperation) return "UNIMPLEMENTED";
  const reason = reasonOf(error);
  return reason in FAILURES ? (reason as FailureName) : "INTERNAL";
}

/** A failure with its reason in words. */
export function failure(name: FailureName, message: string): proto.Failure {
  return { reason: FAILURES[name], message: clip(message, MAX_TEXT_LENGTH) };
}

/** At most so many code points, and no NUL. */
function clip(text: string, most: number): string {
  const clean = text.replaceAll("\0", "");
  return clean.length <= most
    ? clean
    : Array.from(clean.slice(0, most * 2))
        .slice(0, most)
        .join("");
}
