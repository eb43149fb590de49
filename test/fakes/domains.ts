// SPDX-License-Identifier: Apache-2.0
import type { DomainDescription } from "../../agent/hypervisor.js";

/** A canonical uuid with this number at its end. */
export function uuidOf(number: number): string {
  return `00000000-0000-4000-8000-${number.toString().padStart(12, "0")}`;
}

/** A running domain with a SPICE display on a TCP port; `overrides` replaces what a test cares about. */
export function aDomain(number: number, overrides: Partial<DomainDescription> = {}): DomainDescription {
  return {
    uuid: uuidOf(number),
    name: `instance-${number}`,
    state: "running",
    displays: [{ kind: "spice", listen: "address", port: 5_900 + number }],
    ...overrides,
  };
}
