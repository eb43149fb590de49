// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/clock.js";
import { withDeadline } from "../lib/deadline.js";
import { KEYSTONE_LOGIN_PAUSE_MS, KEYSTONE_MS } from "../lib/limits.js";
import type { KeystoneApi, OwnToken } from "./keystone-api.js";
import { LoginRefused } from "./keystone-api.js";

/** What our own token needs. */
export interface KeystoneLoginOptions {
  readonly api: Pick<KeystoneApi, "login">;
  /** Ends logins that run. */
  readonly signal: AbortSignal;
  readonly clock: Clock;
  /** The time of day, in milliseconds. */
  readonly timeOfDay: () => number;
}

/** A token is replaced when this share of its life is over. */
const RENEW_AT = 0.9;

/** Our own token: got when it is first needed, kept for most of its life. */
export class KeystoneLogin {
  readonly #options: KeystoneLoginOptions;
  #token: (OwnToken & { readonly renewAt: number }) | undefined;
  #running: Promise<OwnToken> | undefined;
  #refused: { readonly error: LoginRefused; readonly until: number } | undefined;

  constructor(options: KeystoneLoginOptions) {
    this.#options = options;
  }

  /** The token; whoever needs a new one at the same time waits for the same login. Throws what the login throws. */
  async token(): Promise<string> {
    const { timeOfDay } = this.#options;
    if (this.#token && timeOfDay() < this.#token.renewAt) return this.#token.text;
    this.#running ??= this.#login().finally(() => (this.#running = undefined));
    return (await this.#running).text;
  }

  /** Forgets a token that Keystone does not take; if there is another one by now, that stays. */
  drop(text: string): void {
    if (this.#token?.text === text) this.#token = undefined;
  }

  async #login(): Promise<OwnToken> {
    const { api, signal, clock, timeOfDay } = this.#options;
    if (this.#refused && clock.now() < this.#refused.until) throw this.#refused.error;
    const expired = (): Error => new Error("Keystone does not answer a login in time");
    try {
      const token = await withDeadline({ ms: KEYSTONE_MS, expired, signal, clock }, (aborted) => api.login(aborted));
      const now = timeOfDay();
      this.#token = { ...token, renewAt: now + (token.expiresAt - now) * RENEW_AT };
      return token;
    } catch (error) {
      if (error instanceof LoginRefused) this.#refused = { error, until: clock.now() + KEYSTONE_LOGIN_PAUSE_MS };
      throw error;
    }
  }
}
