// SPDX-License-Identifier: Apache-2.0
// The legacy way of Nova up to Rocky (nova-consoleauth): authorizations kept outside the database, in the memory of one
// process or in memcached. Everything about it is in this folder.

/** What a token stands for, as the legacy store has it. */
export interface AuthorizedConsole {
  readonly instanceUuid: string;
  readonly consoleType: string;
  /** The host's address for displays. */
  readonly host: string;
  readonly port: number | undefined;
  readonly tlsPort: number | undefined;
  readonly internalAccessPath: string | undefined;
  readonly accessUrlBase: string;
  /** Who asked for it. */
  readonly createdBy: string;
  readonly expiresAt: Date;
}

/** The legacy store: in this process, or a service of its own. Every method throws LEGACY_STORE_UNAVAILABLE where it is down. */
export interface ConsoleAuth {
  /** Keeps an authorization until it expires; one of the same hash is replaced. */
  authorize(tokenHash: string, console: AuthorizedConsole): Promise<void>;
  /**
   * What an unexpired token stands for; undefined where it is unknown. With `consume` it is forgotten as well: of two
   * that do so at once, one is given the console.
   */
  check(tokenHash: string, options: { readonly consume: boolean }): Promise<AuthorizedConsole | undefined>;
  /** Forgets every authorization of an instance and says how many; a second call answers 0. */
  deleteForInstance(instanceUuid: string): Promise<number>;
}

/**
 * What the use cases say to the legacy way, a line each, whether or not it is on. Nothing here fails because the legacy
 * store is down: that is counted, and logged once.
 */
export interface LegacyTokens {
  /** A token was issued and is in the database: the legacy store gets it too. */
  issued(tokenHash: string, console: AuthorizedConsole): Promise<void>;
  /**
   * A token is presented. The legacy store is asked first; what it alone knows is put into the database, which decides
   * from then on whether it is used or expired. With `consume` it is about to be used: the legacy store forgets what only
   * it knew, unless tokens can be used again (console.compat_tokens).
   */
  bringIn(tokenHash: string, options: { readonly consume: boolean }): Promise<void>;
  /** The instance is deleted, its tokens are revoked, or its live migration begins: the legacy store forgets its tokens. */
  forget(instanceUuid: string): Promise<void>;
}

/** The legacy way switched off, as it should be: nobody is asked. */
export const NO_LEGACY_TOKENS: LegacyTokens = {
  issued: () => Promise.resolve(),
  bringIn: () => Promise.resolve(),
  forget: () => Promise.resolve(),
};
