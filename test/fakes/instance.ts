// SPDX-License-Identifier: Apache-2.0
import type { Instance } from "../../src/instances/instance.js";

export const UUID = "6f70656e-7374-4163-8b00-00000000000a";

/** A running instance that an orchestrator has registered. */
export function anInstance(more: Partial<Instance> = {}): Instance {
  return {
    uuid: UUID,
    name: "web-1",
    projectId: "p1",
    userId: "u1",
    vmState: "active",
    taskState: "",
    registered: true,
    host: "host-1",
    claimed: true,
    powerState: "running",
    displays: ["spice"],
    conflictHost: undefined,
    revision: 1n,
    createdAt: new Date("2026-01-02T03:04:05.678Z"),
    updatedAt: new Date("2026-02-03T04:05:06.789Z"),
    deleted: false,
    ...more,
  };
}
