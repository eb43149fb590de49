// SPDX-License-Identifier: Apache-2.0
// Authorizations in memcached, as Nova kept them: one key for each token, and for each instance a list of its tokens.
import { waitAtMost } from "../lib/deadline.js";
import {
  LIST_OUTLIVES_TOKENS_S,
  MAX_LEGACY_TOKENS_PER_INSTANCE,
  MAX_LIST_ATTEMPTS,
  MEMCACHED_MS,
} from "../lib/limits.js";
import type { AuthorizationStore } from "./authorization-store.js";
import { storeFull, storeUnavailable } from "./authorization-store.js";
import { consoleFromText, textFromConsole } from "./console-messages.js";
import type { AuthorizedConsole } from "./console-auth.js";
import { MemcachedServers } from "./memcached-servers.js";

/** What the store needs. */
export interface MemcachedStoreOptions {
  /** host:port of each server. Whoever shares a store names the same ones in the same order. */
  readonly servers: readonly string[];
  /** How long the longest-lived token lives, in seconds. */
  readonly ttlSeconds: number;
  readonly perInstance?: number;
}

/** A token in its instance's list. */
interface Listed {
  readonly tokenHash: string;
  /** In epoch seconds, by the clock of whoever listed it; decides nothing but how long it stays in the list. */
  readonly expires: number;
}

const PREFIX = "spicegate-consoleauth";
const NEVER = -1;

/** See the head of this file. Several programs may share the servers. */
export class MemcachedStore implements AuthorizationStore {
  readonly #servers: MemcachedServers;
  readonly #listSeconds: number;
  readonly #perInstance: number;

  constructor({ servers, ttlSeconds, perInstance = MAX_LEGACY_TOKENS_PER_INSTANCE }: MemcachedStoreOptions) {
    this.#servers = new MemcachedServers(servers);
    this.#listSeconds = ttlSeconds + LIST_OUTLIVES_TOKENS_S;
    this.#perInstance = perInstance;
  }

  /** Nothing to start: it connects when it is asked something. */
  start(): void {}

  stop(): void {
    this.#servers.close();
  }

  /** First the list, then the token: one that no list names would outlive its instance. */
  put(tokenHash: string, console: AuthorizedConsole, ttlMs: number): Promise<void> {
    const seconds = Math.ceil(ttlMs / 1_000);
    return inTime(async () => {
      await this.#list(console.instanceUuid, { tokenHash, expires: nowSeconds() + seconds });
      await this.#servers.set(tokenKey(tokenHash), textFromConsole(console), seconds);
    });
  }

  find(tokenHash: string): Promise<AuthorizedConsole | undefined> {
    return inTime(() => this.#read(tokenHash));
  }

  take(tokenHash: string): Promise<AuthorizedConsole | undefined> {
    return inTime(async () => {
      const console = await this.#read(tokenHash);
      return console && (await this.#servers.delete(tokenKey(tokenHash))) ? console : undefined;
    });
  }

  removeAll(instanceUuid: string): Promise<number> {
    return inTime(async () => {
      let count = 0;
      await this.#changeList(instanceUuid, async (listed) => {
        const deleted = await Promise.all(listed.map(({ tokenHash }) => this.#servers.delete(tokenKey(tokenHash))));
        count += deleted.filter(Boolean).length;
        return [];
      });
      return count;
    });
  }

  async #read(tokenHash: string): Promise<AuthorizedConsole | undefined> {
    const found = await this.#servers.get(tokenKey(tokenHash));
    return found && consoleFromText(found.text);
  }

  /** Adds a token to its instance's list and drops those that have expired, as Nova does each time. */
  async #list(instanceUuid: string, token: Listed): Promise<void> {
    await this.#changeList(instanceUuid, (listed) => {
      const oldest = nowSeconds() - LIST_OUTLIVES_TOKENS_S;
      const others = listed.filter(({ tokenHash, expires }) => expires > oldest && tokenHash !== token.tokenHash);
      if (others.length >= this.#perInstance) throw storeFull("the instance");
      return [...others, token];
    });
  }

  /** Reads the list, writes what `change` makes of it, and does so again where somebody else has written it meanwhile. */
  async #changeList(
    instanceUuid: string,
    change: (listed: readonly Listed[]) => readonly Listed[] | Promise<readonly Listed[]>,
  ): Promise<void> {
    for (let attempt = 0; attempt < MAX_LIST_ATTEMPTS; attempt += 1) {
      const found = await this.#servers.get(listKey(instanceUuid));
      const listed = await change(found ? listFromText(found.text) : []);
      if (await this.#writeList(instanceUuid, listed, found?.version)) return;
    }
    throw storeUnavailable(new Error("an instance's list is written by too many at once"));
  }

  async #writeList(instanceUuid: string, listed: readonly Listed[], version: string | undefined): Promise<boolean> {
    const text = listed.map(({ tokenHash, expires }) => `${tokenHash}:${expires}`).join(",");
    const seconds = listed.length > 0 ? this.#listSeconds : NEVER;
    const key = listKey(instanceUuid);
    if (version === undefined) return listed.length === 0 || this.#servers.add(key, text, seconds);
    return this.#servers.replace(key, text, { version, seconds });
  }
}

function inTime<T>(work: () => Promise<T>): Promise<T> {
  const expired = (): Error => storeUnavailable(new Error(`memcached took longer than ${MEMCACHED_MS} ms`));
  return waitAtMost({ ms: MEMCACHED_MS, expired }, work);
}

function tokenKey(tokenHash: string): string {
  return `${PREFIX}:token:${tokenHash}`;
}

function listKey(instanceUuid: string): string {
  return `${PREFIX}:instance:${instanceUuid}`;
}

function listFromText(text: string): readonly Listed[] {
  return Array.from(text.matchAll(/([0-9a-f]{64}):([0-9]+)/g), ([, tokenHash = "", expires]) => ({
    tokenHash,
    expires: Number(expires),
  }));
}

function nowSeconds(): number {
  return Math.floor(Date.now() / 1_000);
}
