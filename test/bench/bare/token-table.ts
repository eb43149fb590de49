// SPDX-License-Identifier: Apache-2.0
import { createHash, randomBytes } from "node:crypto";
import pg from "pg";

const POOL_SIZE = 10;
const TTL_SECONDS = 600;

const INSERT = `insert into console_auth_tokens (token_hash, console_type, host, port, instance_uuid, expires, access_url_base)
  values ($1, 'spice-html5', '127.0.0.1', $2, $3, $4, 'http://127.0.0.1:6082/console')`;

/** The product's own table of tokens, filled by one prepared insert. */
export class TokenTable {
  readonly #pool: pg.Pool;

  constructor(url: string) {
    this.#pool = new pg.Pool({ connectionString: url, max: POOL_SIZE });
  }

  /** Stores a new token and returns it. */
  async insert(instanceUuid: string, port: number): Promise<string> {
    const token = randomBytes(32).toString("base64url");
    const hash = createHash("sha256").update(token).digest("hex");
    const expires = Math.floor(Date.now() / 1_000) + TTL_SECONDS;
    await this.#pool.query({ name: "insert", text: INSERT, values: [hash, port, instanceUuid, expires] });
    return token;
  }
}
