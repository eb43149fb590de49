// SPDX-License-Identifier: Apache-2.0
import type { Log } from "./log.js";

/** Why something was not served. */
export interface Problem {
  readonly reason: string;
  /** Safe for whoever asked. */
  readonly message: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly cause?: unknown;
  /** Whether it is written down elsewhere. */
  readonly noted?: boolean;
}

/** How something that was asked for ended. */
export interface Outcome {
  /** As the line begins: "call", "request". */
  readonly what: string;
  /** Undefined where it was served. */
  readonly problem: Problem | undefined;
  readonly seconds: number;
  /** Whether whoever asked left before the answer. */
  readonly left?: boolean;
  /** Whether it is of interest to nobody as long as it is served. */
  readonly quiet?: boolean;
}

/** Writes its one line: served, refused, or failed, which is our own fault and the only one with its cause. */
export function logOutcome(
  log: Log,
  { what, problem, seconds, left = false, quiet = false }: Outcome,
  fields: Readonly<Record<string, unknown>>,
): void {
  const all = { ...fields, ms: Math.round(seconds * 1e4) / 10 };
  if (!problem) return log[quiet ? "debug" : "info"](all, left ? "client left" : `${what} served`);
  const detail = { ...all, detail: problem.message, ...problem.metadata };
  if (problem.reason !== "INTERNAL") return log[problem.noted ? "debug" : "info"](detail, `${what} refused`);
  log.error({ ...detail, err: problem.cause }, `${what} failed`);
}
