// SPDX-License-Identifier: Apache-2.0
// The few commands of memcached that are used here, with answers instead of errors. The only file that knows the library;
// docs/decisions/0010 says why it is this one.
import { MemcacheClient, MemcacheConnection } from "memcache-client";
import { createHash } from "node:crypto";
import { KEEPALIVE_INTERVAL_MS, MAX_MEMCACHED_VALUE_BYTES, MEMCACHED_COMMAND_MS } from "../lib/limits.js";
import { storeUnavailable } from "./authorization-store.js";

/** A value with the number that it has until somebody writes it. */
export interface Versioned {
  readonly text: string;
  readonly version: string;
}

/** Which value is replaced, and for how long the new one is kept; a negative time means not at all. */
export interface Replacement {
  readonly version: string;
  readonly seconds: number;
}

/**
 * Some memcached servers. A key belongs to one of them: where that one is away its keys are, since another one in its
 * place would know none of them. Every method throws LEGACY_STORE_UNAVAILABLE where the server does not answer in time.
 */
export class MemcachedServers {
  readonly #clients: readonly MemcacheClient[];
  #closed = false;

  /** `servers` are host:port. It connects when it is asked something, and again after a connection broke. */
  constructor(servers: readonly string[]) {
    this.#clients = servers.map(createClient);
  }

  /** Ends the connections; what is under way fails, and so does what comes later. Twice is harmless. */
  close(): void {
    this.#closed = true;
    for (const client of this.#clients) client.shutdown();
  }

  /** What another program has put there as something else than text is an empty one, which can be replaced. */
  async get(key: string): Promise<Versioned | undefined> {
    const found = await this.#ask(key, (client) => client.gets<unknown>(key));
    if (typeof found !== "object") return undefined;
    return { text: typeof found.value === "string" ? found.value : "", version: String(found.casUniq) };
  }

  /** Writes it whatever was there. */
  async set(key: string, text: string, seconds: number): Promise<void> {
    await this.#ask(key, (client) => client.set(key, text, { lifetime: seconds }));
  }

  /** Writes it where nothing is; false where something is. */
  async add(key: string, text: string, seconds: number): Promise<boolean> {
    const answer = await this.#ask(key, (client) => client.add(key, text, { lifetime: seconds }));
    return answer !== "NOT_STORED";
  }

  /** Writes it where the value still is that version; false where it is another one, or gone. */
  async replace(key: string, text: string, { version, seconds }: Replacement): Promise<boolean> {
    const answer = await this.#ask(key, (client) => client.cas(key, text, { casUniq: version, lifetime: seconds }));
    return answer !== "EXISTS" && answer !== "NOT_FOUND";
  }

  /** True for one of those who delete a key at the same time. */
  async delete(key: string): Promise<boolean> {
    return (await this.#ask(key, (client) => client.delete(key))) !== "NOT_FOUND";
  }

  /** The library makes an error of "no", too. */
  async #ask<Answer>(key: string, command: (client: MemcacheClient) => Promise<Answer>): Promise<Answer | No> {
    const client = this.#clients[indexOf(key, this.#clients.length)];
    if (this.#closed || !client) throw storeUnavailable(new Error("it is stopped"));
    try {
      return await command(client);
    } catch (error) {
      if (error instanceof Error && isNo(error.message)) return error.message;
      throw storeUnavailable(error);
    }
  }
}

const NOES = ["NOT_STORED", "EXISTS", "NOT_FOUND"] as const;
type No = (typeof NOES)[number];

function isNo(text: string): text is No {
  return (NOES as readonly string[]).includes(text);
}

function indexOf(key: string, servers: number): number {
  return createHash("sha256").update(key).digest().readUInt32BE() % servers;
}

/** One connection, on which commands queue; a command without an answer in time ends it, and with it all that wait. */
function createClient(server: string): MemcacheClient {
  return new MemcacheClient({
    server: { server, maxConnections: 1 },
    cmdTimeout: MEMCACHED_COMMAND_MS,
    connectTimeout: MEMCACHED_COMMAND_MS,
    keepAlive: KEEPALIVE_INTERVAL_MS,
    noDelay: true,
  });
}

refuseNonsense();

/**
 * To what no memcached says the library throws where nobody catches it, which would end this process; it prints what it
 * does not know, and makes room for as many bytes as it is promised. Here all that ends the connection.
 */
function refuseNonsense(): void {
  const { prototype } = MemcacheConnection;
  // eslint-disable-next-line @typescript-eslint/unbound-method -- they are called with their connection
  const { onData, initiatePending } = prototype;
  prototype.onData = function (data): void {
    try {
      onData.call(this, data);
    } catch {
      this.shutdown();
    }
  };
  prototype.initiatePending = function (tokens, length): void {
    if (length > MAX_MEMCACHED_VALUE_BYTES) throw new Error(`a value of ${length} bytes`);
    initiatePending.call(this, tokens, length);
  };
  prototype.cmdAction_undefined = function ([word]): boolean {
    throw new Error(`${word} is no answer of memcached`);
  };
}
