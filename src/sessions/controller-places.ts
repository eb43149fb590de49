// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/clock.js";
import { VIEWER_AWAY_S } from "../lib/limits.js";
import type { BegunSession } from "./session-beginnings.js";
import type { SessionRegistry } from "./session-registry.js";
import { limited } from "./session-rules.js";

/** What the places need. */
export interface ControllerPlacesOptions {
  /** How many sessions this controller may have; 0 = any number. */
  readonly most: number;
  readonly registry: Pick<SessionRegistry, "has" | "sessionCount">;
  readonly clock: Clock;
}

/**
 * The places for sessions on this controller. Taken are those of sessions with a channel here, of those that are about to
 * begin, and for a short time of those that have begun here and whose viewer is on its way. Only beginning needs a place:
 * a session that goes on comes in, so that the failure of another controller ends none.
 */
export class ControllerPlaces {
  readonly #options: ControllerPlacesOptions;
  /** Sessions that have begun here lately. */
  readonly #begun = new Set<string>();
  #beginning = 0;

  constructor(options: ControllerPlacesOptions) {
    this.#options = options;
  }

  /** Runs `begin` in a place, which goes to the session that it begins. Throws LIMITED where all are taken. */
  async take(begin: () => Promise<BegunSession | undefined>): Promise<BegunSession | undefined> {
    const { most } = this.#options;
    if (most > 0 && this.#taken() >= most) throw limited("max_per_controller", most);
    this.#beginning += 1;
    try {
      const begun = await begin();
      if (begun) this.#keep(begun.session.sessionId);
      return begun;
    } finally {
      this.#beginning -= 1;
    }
  }

  #taken(): number {
    const { registry } = this.#options;
    const onTheirWay = [...this.#begun].filter((sessionId) => !registry.has(sessionId));
    return registry.sessionCount + this.#beginning + onTheirWay.length;
  }

  #keep(sessionId: string): void {
    this.#begun.add(sessionId);
    this.#options.clock.after(VIEWER_AWAY_S * 1_000, () => this.#begun.delete(sessionId));
  }
}
