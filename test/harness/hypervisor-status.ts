// SPDX-License-Identifier: Apache-2.0
import type { Hypervisor } from "../../agent/hypervisor.js";
import { withDeadline } from "../../src/lib/deadline.js";

/** Resolves as soon as the hypervisor is, or is not, available. Throws after `ms`. */
export function untilAvailable(hypervisor: Hypervisor, available: boolean, ms: number): Promise<void> {
  const expired = (): Error => new Error(`waited ${ms} ms for available = ${available}`);
  return withDeadline({ ms, expired }, async (ended) => {
    if (hypervisor.status().available === available) return;
    await new Promise<void>((resolve) => {
      const forget = hypervisor.onStatus((status) => {
        if (status.available !== available) return;
        forget();
        resolve();
      });
      ended.addEventListener("abort", forget, { once: true });
    });
  });
}
