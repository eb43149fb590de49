// SPDX-License-Identifier: Apache-2.0
import { waitAtMost } from "../lib/deadline.js";
import { draining } from "../lib/draining.js";
import { CLOSE_HANDSHAKE_MS } from "../lib/limits.js";
import type { Part } from "../lib/lifecycle.js";
import type { SessionRegistry } from "../sessions/session-registry.js";

/**
 * How a controller takes leave of its viewers. Stop lets nobody in any more, leaves the open channels for the grace time
 * (pages ask for the status and move on), and then closes them. It comes before the proxy's own stop.
 */
export class ViewerDrain implements Part {
  readonly #registry: Pick<SessionRegistry, "idle" | "closeAll">;
  readonly #graceMs: number;
  #draining = false;

  constructor(registry: Pick<SessionRegistry, "idle" | "closeAll">, graceMs: number) {
    this.#registry = registry;
    this.#graceMs = graceMs;
  }

  /** Nothing to start: viewers come by themselves. */
  start(): void {
    this.#draining = false;
  }

  /** True from the moment that it stops. */
  get isDraining(): boolean {
    return this.#draining;
  }

  /** The longest that `stop` takes, in milliseconds. */
  get stopMs(): number {
    return this.#graceMs + CLOSE_HANDSHAKE_MS + 1_000;
  }

  /** Throws DRAINING once it stops. */
  requireOpen(): void {
    if (this.#draining) throw draining();
  }

  /** Resolves when no channel is left, or the last ones have been told. Twice is harmless. */
  async stop(): Promise<void> {
    this.#draining = true;
    await this.#emptyWithin(this.#graceMs);
    this.#registry.closeAll();
    await this.#emptyWithin(CLOSE_HANDSHAKE_MS);
  }

  async #emptyWithin(ms: number): Promise<void> {
    const expired = (): Error => new Error("channels are still open");
    await waitAtMost({ ms, expired }, () => this.#registry.idle()).catch(() => undefined);
  }
}
