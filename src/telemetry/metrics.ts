// SPDX-License-Identifier: Apache-2.0
import { Registry, collectDefaultMetrics } from "prom-client";

/** Upper bounds of latency buckets, in seconds: from the half millisecond of a refusal to the longest deadline. */
export const LATENCY_BUCKETS = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** A registry of its own for a program, with the process' memory, CPU, descriptors and event loop lag. */
export function createRegistry(): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  return registry;
}
