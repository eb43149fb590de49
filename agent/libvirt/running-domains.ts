// SPDX-License-Identifier: Apache-2.0
import { MAX_DOMAINS_PER_HOST } from "../../src/lib/limits.js";
import type { DomainDescription } from "../hypervisor.js";

/**
 * The domains that were running when last asked about, and of which libvirt has told nothing since: it tells of every
 * step from running to something else. Their XML alone answers a question, which saves every second round trip. What an
 * event still under way would change is as if the question had come that moment earlier.
 */
export class RunningDomains {
  readonly #uuids = new Set<string>();
  #changes = 0;

  /** How much was told so far; taken before a question, given back with its answer. */
  get moment(): number {
    return this.#changes;
  }

  has(uuid: string): boolean {
    return this.#uuids.has(uuid);
  }

  /** Takes an answer to a question of that moment; not where something was told meanwhile, which may be newer. */
  saw({ uuid, state }: DomainDescription, moment: number): void {
    if (state !== "running") this.#uuids.delete(uuid);
    else if (moment === this.#changes && this.#uuids.size < MAX_DOMAINS_PER_HOST) this.#uuids.add(uuid);
  }

  /** libvirt told something of the domain. */
  changed(uuid: string): void {
    this.#changes += 1;
    this.#uuids.delete(uuid);
  }

  /** Events may have been missed. */
  clear(): void {
    this.#changes += 1;
    this.#uuids.clear();
  }
}
