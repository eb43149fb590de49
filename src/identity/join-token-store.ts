// SPDX-License-Identifier: Apache-2.0

// Tokens with which hosts join. Whether one may be used is decided by the statement that uses it, which also stores the
// certificate's row: of any number that use the same token at the same instant one gets a certificate.

import { createHash } from "node:crypto";
import { actorParameters, actorValues, insertAudit } from "../audit/audit-log.js";
import type { AuditActor } from "../audit/audit-log.js";
import type { Querier } from "../db/connection.js";
import { PURGE_BATCH } from "../lib/limits.js";
import type { Issue } from "./host-certificate-store.js";
import { EXPIRES_AT } from "./host-certificate-store.js";

/** A join token to be stored. */
export interface JoinTokenRequest {
  readonly token: string;
  readonly host: string;
  readonly ttlSeconds: number;
}

/** A token that somebody shows, and the certificate that he is to get for it. */
export interface Redemption {
  readonly token: string;
  /** Of the certificate, in hexadecimal digits. */
  readonly serial: string;
  /** For how many days the certificate is good. */
  readonly days: number;
  readonly requestId: string;
  readonly clientAddress: string;
}

const CREATE = `
  with created as (
    insert into join_tokens (token_hash, host, created_by, expires_at)
    values ($1::bytea, $2::text, $4::text, now() + $3::integer * interval '1 s') returning host, expires_at
  ), noted as (
    ${insertAudit({ action: "join-token-created", actor: actorParameters(4), host: "host" }, "from created")}
  )
  select expires_at as "expiresAt" from created`;

const REDEEM = `
  with used as (
    update join_tokens t set used_at = now()
    where t.token_hash = $1::bytea and t.used_at is null and t.expires_at > now()
      and not exists (select from host_revocations r where r.host = t.host and r.revoked_at >= t.created_at)
    returning host, created_at
  ), readmitted as (
    update host_revocations r set readmitted_at = now() from used
    where r.host = used.host and r.revoked_at < used.created_at
  ), issued as (
    insert into host_certificates (serial, host, admitted_at, expires_at)
    select $2::text, host, created_at, ${EXPIRES_AT("$3")} from used
    returning host, issued_at, expires_at
  ), noted as (
    ${insertAudit({ action: "host-enrolled", actor: ["host", "''", "$4::text", "$5::text"], host: "host" }, "from issued")}
  )
  select host, issued_at as "issuedAt", expires_at as "expiresAt" from issued`;

const PURGE = `
  with purged as (
    delete from join_tokens where token_hash in
      (select token_hash from join_tokens where expires_at <= now() limit $1 for update skip locked)
    returning host
  )
  select count(*)::integer as count from purged`;

/** Join tokens that exist; only their hashes are kept. */
export class JoinTokenStore {
  readonly #database: Querier;

  constructor(database: Querier) {
    this.#database = database;
  }

  /** Stores a token and says when it expires. A host may have several. */
  async create({ token, host, ttlSeconds }: JoinTokenRequest, actor: AuditActor): Promise<Date> {
    const values = [hashOf(token), host, ttlSeconds, ...actorValues(actor)];
    const rows = await this.#database.query<{ expiresAt: Date }>({ text: CREATE, values });
    const [row] = rows;
    if (!row) throw new Error("the token was not stored");
    return row.expiresAt;
  }

  /** Uses a token up; undefined where it is unknown, used, expired, or older than its host's revocation. */
  async redeem({ token, serial, days, requestId, clientAddress }: Redemption): Promise<Issue | undefined> {
    const values = [hashOf(token), serial, days, requestId, clientAddress];
    const [row] = await this.#database.query<Issue>({ name: "join-tokens-redeem", text: REDEEM, values });
    return row;
  }
}

/** Deletes a batch of expired tokens, used or not; says how many. */
export async function purgeExpiredJoinTokens(querier: Querier): Promise<number> {
  const [row] = await querier.query<{ count: number }>({ text: PURGE, values: [PURGE_BATCH] });
  return row?.count ?? 0;
}

function hashOf(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}
