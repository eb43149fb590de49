// SPDX-License-Identifier: Apache-2.0
import type { Server } from "@grpc/grpc-js";
import type { ServingStatusMap } from "grpc-health-check";
import { HealthImplementation } from "grpc-health-check";
import { addReflection } from "./reflection.js";

const HEALTH_SERVICE = "grpc.health.v1.Health";

/** What strangers can ask of a program's gRPC services: how they are (grpc.health.v1), and which there are (reflection). */
export class PublishedServices {
  readonly #services: readonly string[];
  readonly #health: HealthImplementation;

  /** By their full names; none of them serves until that is announced. */
  constructor(services: readonly string[]) {
    this.#services = services;
    this.#health = new HealthImplementation(statusOf(services, false));
  }

  /** Adds health and reflection to the server that has the services. */
  addToServer(server: Server): void {
    this.#health.addToServer(server);
    addReflection(server, [...this.#services, HEALTH_SERVICE]);
  }

  /** Says to whoever asks or watches whether they serve. */
  announce(serving: boolean): void {
    const statuses = Object.entries(statusOf(this.#services, serving));
    for (const [service, status] of statuses) this.#health.setStatus(service, status);
  }
}

/** The empty name stands for the whole program. */
function statusOf(services: readonly string[], serving: boolean): ServingStatusMap {
  return Object.fromEntries(["", ...services].map((service) => [service, serving ? "SERVING" : "NOT_SERVING"]));
}
