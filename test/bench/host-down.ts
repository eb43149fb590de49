// SPDX-License-Identifier: Apache-2.0
import type { LoadResult } from "./load.js";
import { Load } from "./load.js";
import type { Surroundings } from "./surroundings.js";

const ROUND = { callers: 1, ms: 1_500 };

/** Kills the agent and measures how fast calls for its machines are refused from then on. */
export async function measureHostDown(surroundings: Surroundings): Promise<LoadResult> {
  const target = { kind: "console", address: surroundings.addresses.product, uuids: surroundings.uuids } as const;
  const load = new Load({ ...target, expect: "AGENT_UNAVAILABLE" });
  await load.start();
  try {
    surroundings.killAgent();
    return await load.run(ROUND);
  } finally {
    await load.stop();
  }
}
