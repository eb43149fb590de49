// SPDX-License-Identifier: Apache-2.0
import { randomUUID } from "node:crypto";
import { MAX_REQUEST_ID_LENGTH } from "../lib/limits.js";
import type { Caller } from "./caller.js";

/** What every use case knows of the request it serves. */
export interface RequestContext {
  readonly caller: Caller;
  /** Names the request in the logs of controller and agent and in the audit. */
  readonly requestId: string;
  /** The peer's address without its port; empty where unknown. */
  readonly clientAddress: string;
  /** Aborts when the caller goes away or its deadline passes. */
  readonly signal: AbortSignal;
  /** Milliseconds the caller still waits; Infinity without a deadline. */
  readonly remainingMs: () => number;
}

const REQUEST_ID = /^[\x21-\x7e]+$/;

/** The caller's request id where it is printable ASCII and not too long, else one of our own with that prefix. */
export function requestIdFrom(given: string | Buffer | undefined, prefix = ""): string {
  const text = typeof given === "string" ? given : "";
  return text.length <= MAX_REQUEST_ID_LENGTH && REQUEST_ID.test(text) ? text : prefix + randomUUID();
}
