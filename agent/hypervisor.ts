// SPDX-License-Identifier: Apache-2.0
import type { Socket } from "node:net";
import type { Part } from "../src/lib/lifecycle.js";

/** What libvirt says of a domain, reduced to what matters for a console. */
export type DomainState =
  "running" | "paused" | "shut-off" | "saved" | "crashed" | "suspended" | "incoming" | "unknown";

/** How a display listens: a port on an address or a network, a unix socket, or nothing at all. */
export type ListenKind = "address" | "network" | "socket" | "none" | "unknown";

/** One graphics element of the live XML. Absent, 0 and -1 all mean "no port" and are absent here. */
export interface DomainDisplay {
  readonly kind: "spice" | "vnc" | "other";
  readonly listen: ListenKind;
  readonly port?: number;
  readonly tlsPort?: number;
  /** The unix socket it listens on, where that is its kind. */
  readonly socket?: string;
  /** The address it listens on, where that is its kind and libvirt says which. */
  readonly address?: string;
}

/** The owner that a domain's metadata names. Absent fields are empty. */
export interface DomainOwner {
  readonly name: string;
  readonly projectId: string;
  readonly userId: string;
}

/** A domain as libvirt shows it at one moment. */
export interface DomainDescription {
  readonly uuid: string;
  readonly name: string;
  readonly state: DomainState;
  /** In the order of the XML. */
  readonly displays: readonly DomainDisplay[];
  readonly owner?: DomainOwner;
}

/** What the hypervisor can do, and its versions for people. Where libvirt does not say, a display kind is present. */
export interface HypervisorInfo {
  readonly libvirtVersion: string;
  readonly hypervisorVersion: string;
  readonly spice: boolean;
  readonly vnc: boolean;
  /** Whether a display can be opened without its listening anywhere. */
  readonly graphicsFd: boolean;
}

/** Whether libvirt answers. While it does not, `info` is the last known one. */
export interface HypervisorStatus {
  readonly available: boolean;
  readonly info: HypervisorInfo | undefined;
  /** Why it is not available, in words; empty while it is. */
  readonly detail: string;
}

/** What happened to a domain; see agent.proto. */
export type DomainChangeKind =
  "started" | "stopped" | "crashed" | "suspended" | "resumed" | "defined" | "undefined" | "migrated";

/** A lifecycle event of libvirt, in our words. What the domain looks like now is asked for separately. */
export interface DomainChange {
  readonly kind: DomainChangeKind;
  readonly uuid: string;
  readonly name: string;
}

/** How long a question may take, and who may end it early. */
export interface AskOptions {
  /** Milliseconds until HYPERVISOR_UNAVAILABLE. */
  readonly ms: number;
  readonly signal?: AbortSignal;
}

/**
 * The hypervisor of this host. Questions fail with a ServiceError: INSTANCE_NOT_FOUND, HYPERVISOR_UNAVAILABLE (libvirt
 * is away or silent), LIMITED (too many questions wait) or CANCELLED. It looks for a lost libvirt by itself, for ever.
 */
export interface Hypervisor extends Part {
  /** As known now. */
  status(): HypervisorStatus;
  /** Calls back on every change between available and not, in that order; returns the way to stop that. */
  onStatus(listener: (status: HypervisorStatus) => void): () => void;
  /** Calls back for every lifecycle event, in libvirt's order. Events during an absence are lost. */
  onChange(listener: (change: DomainChange) => void): () => void;
  /** One domain: its state and live XML. */
  describe(uuid: string, options: AskOptions): Promise<DomainDescription>;
  /**
   * A connection of its own to a display of a running domain, which the caller has to close; `index` is the display's
   * place in `displays`. Undefined where this hypervisor cannot do that. Fails with INSTANCE_NOT_RUNNING as well. What
   * opens after the deadline or the signal is closed.
   */
  openDisplay(uuid: string, index: number, options: AskOptions): Promise<Socket | undefined>;
  /** All domains, defined and transient, at most MAX_DOMAINS_PER_HOST; more is LIMITED. */
  describeAll(options: AskOptions): Promise<readonly DomainDescription[]>;
}
