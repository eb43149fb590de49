// SPDX-License-Identifier: Apache-2.0
import type { ServingStatusMap } from "grpc-health-check";

/** The name of the health protocol's own service. */
export const HEALTH_SERVICE = "grpc.health.v1.Health";

/** What grpc.health.v1 says of each service; the empty name stands for the whole program. */
export function servingStatus(services: readonly string[], serving: boolean): ServingStatusMap {
  return Object.fromEntries(["", ...services].map((service) => [service, serving ? "SERVING" : "NOT_SERVING"]));
}
