// SPDX-License-Identifier: Apache-2.0
// Callers that Keystone knows. What it says of a token counts for a while, also while it is away; of the token itself only
// the SHA-256 is kept, and nothing of it is logged.
import { createHash } from "node:crypto";
import { setMaxListeners } from "node:events";
import type { Histogram } from "prom-client";
import type { KeystoneSettings } from "../config/keystone-settings.js";
import { Slots } from "../db/slots.js";
import type { Clock } from "../lib/clock.js";
import { systemClock } from "../lib/clock.js";
import { waitAtMost, withDeadline } from "../lib/deadline.js";
import { draining } from "../lib/draining.js";
import type { Part } from "../lib/lifecycle.js";
import {
  KEYSTONE_MS,
  MAX_KEYSTONE_CALLERS,
  MAX_KEYSTONE_REQUESTS,
  MAX_KEYSTONE_TOKEN_LENGTH,
  MAX_UNKNOWN_KEYSTONE_TOKENS,
  MAX_WAITING_KEYSTONE_REQUESTS,
  UNKNOWN_KEYSTONE_TOKEN_MS,
} from "../lib/limits.js";
import type { Log } from "../lib/log.js";
import { Outage } from "../lib/outage.js";
import type { Caller } from "../rpc/caller.js";
import { NOBODY } from "../rpc/caller.js";
import type { CallerSource, Credentials } from "../rpc/callers.js";
import { ExpiringCache } from "./expiring-cache.js";
import { KeystoneApi, unavailable } from "./keystone-api.js";
import { KeystoneLogin } from "./keystone-login.js";
import type { KeystoneToken } from "./keystone-messages.js";
import { KeystoneRoles } from "./keystone-roles.js";
import { USER_TOKEN_PREFIX } from "./user-token.js";

/** What asking Keystone needs. */
export interface KeystoneTokensOptions {
  readonly settings: KeystoneSettings;
  readonly metrics: { readonly keystoneSeconds: Pick<Histogram<"outcome">, "observe"> };
  readonly log: Log;
  readonly clock?: Clock;
  /** The time of day, in milliseconds. */
  readonly timeOfDay?: () => number;
}

const SLOTS = { slots: MAX_KEYSTONE_REQUESTS, waiting: MAX_WAITING_KEYSTONE_REQUESTS, waitMs: KEYSTONE_MS };
const PRINTABLE = /^[\x21-\x7e]+$/;

/** Knows callers by what Keystone says of their tokens; IDENTITY_UNAVAILABLE where it says nothing in time. */
export class KeystoneTokens implements CallerSource, Part {
  readonly #options: KeystoneTokensOptions;
  readonly #clock: Clock;
  readonly #timeOfDay: () => number;
  readonly #api: KeystoneApi;
  readonly #login: KeystoneLogin;
  readonly #roles: KeystoneRoles;
  readonly #outage: Outage;
  readonly #slots: Slots;
  readonly #callers: ExpiringCache<Caller>;
  readonly #unknown: ExpiringCache<true>;
  /** Questions that run, by the hash of their token: who brings it meanwhile waits for the same answer. */
  readonly #running = new Map<string, Promise<Caller>>();
  readonly #stopping = new AbortController();

  constructor(options: KeystoneTokensOptions) {
    const { settings, log, clock = systemClock, timeOfDay = Date.now } = options;
    // Every question that runs or waits listens to it.
    setMaxListeners(0, this.#stopping.signal);
    this.#options = options;
    this.#clock = clock;
    this.#timeOfDay = timeOfDay;
    this.#api = new KeystoneApi(settings);
    this.#login = new KeystoneLogin({ api: this.#api, signal: this.#stopping.signal, clock, timeOfDay });
    this.#roles = new KeystoneRoles(settings.roles);
    this.#outage = new Outage({ begins: "Keystone cannot be asked", ends: "Keystone answers again", log, clock });
    this.#slots = new Slots(SLOTS, clock);
    this.#callers = new ExpiringCache(MAX_KEYSTONE_CALLERS, clock);
    this.#unknown = new ExpiringCache(MAX_UNKNOWN_KEYSTONE_TOKENS, clock);
  }

  /** Asks nothing yet: Keystone may come later than this controller. */
  start(): void {
    if (!this.#options.settings.inTheClear) return;
    this.#options.log.warn("Keystone is asked over plain http: whoever is on the way can read every token");
  }

  /** Ends questions that run with DRAINING. Twice is harmless. */
  stop(): void {
    this.#stopping.abort(draining());
    this.#slots.sendAway();
  }

  identify({ token }: Credentials, signal: AbortSignal): Caller | Promise<Caller> {
    if (token === undefined || !mayBeKeystones(token)) return NOBODY;
    const key = createHash("sha256").update(token).digest("base64");
    const caller = this.#callers.get(key);
    if (caller) return caller;
    if (this.#unknown.get(key)) return NOBODY;
    const expired = (): Error => unavailable(new Error("too late"));
    return waitAtMost({ ms: KEYSTONE_MS, expired, signal, clock: this.#clock }, () => this.#ask(key, token));
  }

  #ask(key: string, token: string): Promise<Caller> {
    const running = this.#running.get(key);
    if (running) return running;
    const asked = this.#askOnce(key, token).finally(() => this.#running.delete(key));
    this.#running.set(key, asked);
    return asked;
  }

  async #askOnce(key: string, token: string): Promise<Caller> {
    const from = this.#clock.now();
    try {
      const found = await this.#lookUp(token);
      this.#tell(found === "unknown" ? "unknown" : "known", from);
      this.#outage.answered();
      return this.#remember(key, found);
    } catch (error) {
      this.#tell("failed", from);
      if (this.#stopping.signal.aborted) throw draining();
      this.#outage.failed(error);
      throw unavailable(error);
    }
  }

  #tell(outcome: string, from: number): void {
    this.#options.metrics.keystoneSeconds.observe({ outcome }, (this.#clock.now() - from) / 1_000);
  }

  #remember(key: string, found: KeystoneToken | "unknown"): Caller {
    if (found === "unknown") {
      this.#unknown.set(key, true, UNKNOWN_KEYSTONE_TOKEN_MS);
      return NOBODY;
    }
    const caller = this.#roles.callerOf(found);
    const { cacheSeconds } = this.#options.settings;
    this.#callers.set(key, caller, Math.min(cacheSeconds * 1_000, found.expiresAt - this.#timeOfDay()));
    return caller;
  }

  #lookUp(token: string): Promise<KeystoneToken | "unknown"> {
    const expired = (): Error => new Error("Keystone does not answer in time");
    const crowded = (): Error => new Error("Keystone is asked about too many tokens at once");
    const options = { ms: KEYSTONE_MS, expired, signal: this.#stopping.signal, clock: this.#clock };
    return withDeadline(options, (signal) => this.#slots.run(() => this.#show(token, signal), crowded));
  }

  /** Our own token can be revoked like any other; then a second one is tried, once. */
  async #show(token: string, signal: AbortSignal): Promise<KeystoneToken | "unknown"> {
    for (const last of [false, true]) {
      const own = await this.#login.token();
      // Whoever waited for its turn, or for the login, may have waited too long.
      signal.throwIfAborted();
      const verdict = await this.#api.show(own, token, signal);
      if (verdict !== "own-token-refused") return verdict;
      this.#login.drop(own);
      if (last) break;
    }
    throw new Error("Keystone takes no token of the user of identity.keystone_username");
  }
}

/** What is ours, even in part, is not told to Keystone. */
function mayBeKeystones(token: string): boolean {
  return token.length <= MAX_KEYSTONE_TOKEN_LENGTH && PRINTABLE.test(token) && !token.startsWith(USER_TOKEN_PREFIX);
}
