// SPDX-License-Identifier: Apache-2.0
import type { DisplayKind, PowerState } from "./instance.js";

/** The hypervisor as its host's agent describes it. */
export interface HypervisorReport {
  readonly available: boolean;
  readonly libvirtVersion: string;
  readonly hypervisorVersion: string;
  /** Why it is not available, in words. */
  readonly detail: string;
  readonly spice: boolean;
  readonly vnc: boolean;
  readonly graphicsFd: boolean;
}

/** An agent that introduces itself. */
export interface HostHello {
  readonly host: string;
  /** Names one run of the agent. */
  readonly processId: string;
  readonly agentVersion: string;
  readonly hypervisor: HypervisorReport;
}

/** The stream of one agent to this controller. A later stream of the same host has another `streamId`. */
export interface HostStream {
  readonly host: string;
  readonly streamId: bigint;
  /** Counts the processes that have spoken for the host; every controller gives the same process the same one. */
  readonly generation: bigint;
}

/** A domain as an agent reports it. */
export interface ReportedDomain {
  readonly uuid: string;
  readonly name: string;
  readonly powerState: PowerState;
  readonly displays: readonly DisplayKind[];
  /** What the domain's metadata says of its owner. */
  readonly owner?: { readonly name: string; readonly projectId: string; readonly userId: string } | undefined;
}

/** What happened to a domain; `undefined` and `migrated` mean that it is no longer there unless it is reported anew. */
export type DomainEventKind =
  "started" | "stopped" | "crashed" | "suspended" | "resumed" | "defined" | "undefined" | "migrated";

/** All domains of a host at one moment. */
export interface SnapshotReport {
  readonly host: string;
  readonly generation: bigint;
  readonly sequence: bigint;
  readonly domains: readonly ReportedDomain[];
}

/** A change of one domain. */
export interface EventReport {
  readonly host: string;
  readonly generation: bigint;
  readonly sequence: bigint;
  readonly kind: DomainEventKind;
  readonly domain: ReportedDomain;
}

/**
 * What became of a report. `applied`: it is stored. `stale`: something newer was known, nothing changed; the memory was
 * brought up to date all the same. `superseded`: another process speaks for the host by now, so this agent's stream is
 * to be ended; when it connects again it gets a new generation.
 */
export type ReportOutcome = "applied" | "stale" | "superseded";

/** A host as stored, with what this controller knows of it. */
export interface Host {
  readonly host: string;
  readonly generation: bigint;
  readonly agentVersion: string;
  readonly hypervisor: HypervisorReport;
  /** True while its agent has a stream to this controller. */
  readonly connected: boolean;
  /** True once this controller has its whole inventory over the present stream. */
  readonly inventoryComplete: boolean;
  readonly instanceCount: number;
  /** To how many living controllers its agent has a stream, this one or others. */
  readonly connectedControllers: number;
  readonly lastSeenAt: Date;
}
