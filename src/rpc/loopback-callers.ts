// SPDX-License-Identifier: Apache-2.0
import { isLoopback } from "../lib/listen-address.js";
import type { Caller } from "./caller.js";
import { NOBODY } from "./caller.js";
import type { CallerSource, Credentials } from "./callers.js";

/** The settings identity.trust_loopback and identity.loopback_caller. */
export interface LoopbackIdentity {
  readonly trust_loopback: boolean;
  readonly loopback_caller: Caller;
}

/**
 * What callers on this machine show that are known by their address: no token at all, or, as clients of Nova cannot do
 * without one, any token that no other source has taken.
 */
export type LoopbackToken = "none" | "any";

/** Takes callers on this machine that prove nothing for one configured caller, where the operator trusts them. */
export class LoopbackCallers implements CallerSource {
  readonly #identity: LoopbackIdentity;
  readonly #token: LoopbackToken;

  constructor(identity: LoopbackIdentity, token: LoopbackToken) {
    this.#identity = identity;
    this.#token = token;
  }

  /** NOBODY for who is elsewhere, or shows something else. */
  identify({ token, address }: Credentials): Caller {
    const { trust_loopback: trusted, loopback_caller: caller } = this.#identity;
    const fits = this.#token === "none" ? token === undefined : Boolean(token);
    return trusted && fits && isLoopback(address) ? caller : NOBODY;
  }
}
