// SPDX-License-Identifier: Apache-2.0
import type { HostRevocations } from "../../src/identity/host-revocations.js";

/** Revocations as a test says: by name, and by the serial number of certificates. */
export class FakeRevocations implements Pick<HostRevocations, "isRefused" | "onRevoked"> {
  readonly refused = new Set<string>();
  readonly #listeners = new Set<(host: string) => void>();

  isRefused(host: string, serial: string | undefined): Promise<boolean> {
    return Promise.resolve(this.refused.has(serial ?? host));
  }

  onRevoked(listener: (host: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** How many want to hear of revocations. */
  get listeners(): number {
    return this.#listeners.size;
  }

  /** Says that a host was revoked. */
  tell(host: string): void {
    for (const listener of this.#listeners) listener(host);
  }
}
