// SPDX-License-Identifier: Apache-2.0
import type { DomainChange, DomainDescription, HypervisorInfo } from "../hypervisor.js";

/**
 * What the main thread and the workers tell each other. A call worker gets one request at a time and answers it with
 * one reply, so nothing carries an id; the event worker gets no messages, since it is inside libvirt's loop.
 */

/** What a worker is started with. */
export interface CallWorkerData {
  readonly uri: string;
}

/** An error as libvirt gave it. */
export interface LibvirtFailure {
  /** virErrorNumber. */
  readonly code: number;
  readonly message: string;
  /** The connection is gone and must be opened anew. */
  readonly lost: boolean;
}

/** What is to be found out about a domain. */
export interface DomainQuestion {
  readonly uuid: string;
  /** Its state need not be asked for: it runs, unless its XML says that it does not. */
  readonly runs: boolean;
}

/** A domain that was asked for. With a `problem` only uuid, name and state can be relied on. */
export interface DomainAnswer {
  readonly domain: DomainDescription;
  readonly problem?: string;
}

/** Which of a domain's displays is to be opened. */
export interface GraphicsQuestion {
  readonly uuid: string;
  /** Its place among all graphics elements of the domain, of whatever kind. */
  readonly index: number;
}

/** Why a display was not opened, as far as it matters; "silent" is the guest's QEMU, not libvirt. */
export type GraphicsRefusal = "no-domain" | "not-running" | "unsupported" | "silent";

/** An open descriptor of this process, which belongs to whoever gets this answer; or why there is none. */
export type GraphicsAnswer = { readonly fd: number } | { readonly refusal: GraphicsRefusal };

/** What each request is answered with. */
export interface Answers {
  /** Open the connection, after closing the one before. */
  readonly open: true;
  readonly info: HypervisorInfo;
  /** The uuids of all domains. */
  readonly list: readonly string[];
  /** In the order of the request; undefined for a domain that does not exist. */
  readonly describe: readonly (DomainAnswer | undefined)[];
  readonly openGraphics: GraphicsAnswer;
}

/** The requests that use an open connection. */
export type CallRequest =
  | { readonly kind: "info" }
  | { readonly kind: "list" }
  | { readonly kind: "describe"; readonly domains: readonly DomainQuestion[] }
  | ({ readonly kind: "openGraphics" } & GraphicsQuestion);

/** Main thread to call worker. After "close" the worker closes its connection and ends. */
export type WorkerRequest = CallRequest | { readonly kind: "open" } | { readonly kind: "close" };

/** Call worker to main thread. */
export type WorkerReply<K extends keyof Answers = keyof Answers> =
  { readonly ok: true; readonly value: Answers[K] } | { readonly ok: false; readonly failure: LibvirtFailure };

/** What the event worker is started with. */
export interface EventWorkerData {
  readonly uri: string;
  /** Two flags, by the names below. After a change the loop is woken through its timer. */
  readonly flags: Int32Array;
}

/** Set to 1: the event worker opens its connection, after closing the one before. */
export const OPEN_FLAG = 0;
/** Set to 1: the event worker leaves. */
export const STOP_FLAG = 1;

/** Event worker to main thread. */
export type EventReport =
  /** The loop runs; waking it is setting this timer to 0. */
  | { readonly kind: "running"; readonly timer: number }
  | { readonly kind: "opened" }
  | { readonly kind: "failed"; readonly failure: LibvirtFailure }
  | { readonly kind: "lost"; readonly failure: LibvirtFailure }
  | { readonly kind: "change"; readonly change: DomainChange };
