// SPDX-License-Identifier: Apache-2.0
import { Registry } from "prom-client";
import type { Caller } from "../../src/rpc/caller.js";
import type { CallerSource } from "../../src/rpc/callers.js";
import { Callers } from "../../src/rpc/callers.js";
import { createCallMetrics } from "../../src/telemetry/controller-metrics.js";

/** Takes everybody for one caller, or for whom a source says; NOBODY is refused as ever. */
export function callersAre(caller: Caller | CallerSource["identify"]): Callers {
  const identify = typeof caller === "function" ? caller : (): Caller => caller;
  return new Callers({ sources: [{ identify }], entrance: "grpc", metrics: createCallMetrics(new Registry()) });
}
