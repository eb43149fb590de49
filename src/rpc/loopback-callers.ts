// SPDX-License-Identifier: Apache-2.0
// Who callers are that can prove nothing: the one place where this is decided, for every protocol.
import { isLoopback } from "../lib/listen-address.js";
import { ServiceError } from "../lib/service-error.js";
import type { Caller } from "./caller.js";
import { NOBODY } from "./caller.js";

/** The settings identity.trust_loopback and identity.loopback_caller. */
export interface LoopbackIdentity {
  readonly trust_loopback: boolean;
  readonly loopback_caller: Caller;
}

/** Takes callers on this machine for one configured caller, where the operator trusts them. */
export class LoopbackCallers {
  readonly #identity: LoopbackIdentity;

  constructor(identity: LoopbackIdentity) {
    this.#identity = identity;
  }

  /** The caller at an address without its port; NOBODY where that is not trusted. */
  at(address: string): Caller {
    const { trust_loopback: trusted, loopback_caller: caller } = this.#identity;
    return trusted && isLoopback(address) ? caller : NOBODY;
  }
}

/** Throws UNAUTHENTICATED for NOBODY. */
export function requireSomebody(caller: Caller): void {
  if (caller !== NOBODY) return;
  const message = "nobody is known here: only callers on this machine are, while identity.trust_loopback is on";
  throw new ServiceError("UNAUTHENTICATED", message);
}
