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

/** What a token holds from the beginning of its session until the viewer is there. */
interface Place {
  /** Calls that begin, and sessions that have begun lately. */
  holders: number;
  sessionId: string | undefined;
}

/**
 * The places for sessions on this controller. Taken are those of sessions with a channel here, of those that are about to
 * begin, and for a short time of those that have begun here and whose viewer is on its way. Only beginning needs a place:
 * a session that goes on comes in, so that the failure of another controller ends none.
 */
export class ControllerPlaces {
  readonly #options: ControllerPlacesOptions;
  /** By what begins: of those who come with the same token one begins, and the others are to find its session. */
  readonly #places = new Map<string, Place>();

  constructor(options: ControllerPlacesOptions) {
    this.#options = options;
  }

  /** Runs `begin` in the token's place, which goes to the session that it begins. Throws LIMITED where all are taken. */
  async take(tokenHash: string, begin: () => Promise<BegunSession | undefined>): Promise<BegunSession | undefined> {
    const place = this.#places.get(tokenHash) ?? this.#newPlace();
    this.#places.set(tokenHash, place);
    place.holders += 1;
    try {
      const begun = await begin();
      if (begun) this.#keep(tokenHash, place, begun.session.sessionId);
      return begun;
    } finally {
      this.#letGo(tokenHash, place);
    }
  }

  #newPlace(): Place {
    const { most } = this.#options;
    if (most > 0 && this.#taken() >= most) throw limited("max_per_controller", most);
    return { holders: 0, sessionId: undefined };
  }

  #taken(): number {
    const { registry } = this.#options;
    const isHere = ({ sessionId }: Place): boolean => sessionId !== undefined && registry.has(sessionId);
    return registry.sessionCount + [...this.#places.values()].filter((place) => !isHere(place)).length;
  }

  #keep(tokenHash: string, place: Place, sessionId: string): void {
    place.sessionId = sessionId;
    place.holders += 1;
    this.#options.clock.after(VIEWER_AWAY_S * 1_000, () => this.#letGo(tokenHash, place));
  }

  #letGo(tokenHash: string, place: Place): void {
    place.holders -= 1;
    if (place.holders === 0) this.#places.delete(tokenHash);
  }
}
