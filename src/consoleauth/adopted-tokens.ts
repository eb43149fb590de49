// SPDX-License-Identifier: Apache-2.0
// What only the legacy store knew becomes a row like every other, and from then on the row decides.
import { actorParameters, actorValues, insertAudit, SYSTEM_ACTOR } from "../audit/audit-log.js";
import type { Querier } from "../db/connection.js";
import type { AuthorizedConsole } from "./console-auth.js";

/** What became of an authorization: its row is new, was there before, or may not be. */
export type Adoption = "adopted" | "known" | "refused";

/** Who asked for a console of which the legacy store does not say it. */
const UNKNOWN_SUBJECT = "consoleauth";

// A token that was taken back must not come back, and one that a delete or a move has taken with it neither, even if the
// legacy store could not be told; hence the look at the audit, which tells of everything that ended tokens of the instance
// since this one can have been issued. "for share" makes a delete that comes later find the row. The expiry is compared
// strictly, as everywhere: the row of a used token is purged no earlier than it expires.
const ADOPT = `
  with given as (
    select least($10::bigint, floor(extract(epoch from now()))::bigint + $11::integer) as expires
  ), target as materialized (
    select instance_uuid, host from instances
    where instance_uuid = $7::uuid and deleted_at is null for share
  ), adopted as (
    insert into console_auth_tokens (token_hash, console_type, host, port, tls_port, internal_access_path,
      instance_uuid, expires, access_url_base, created_by)
    select $1::text, $2::text, $3::text, $4::integer, $5::integer, $6::text, t.instance_uuid, g.expires, $8::text, $9::text
    from target t, given g
    where g.expires > extract(epoch from now()) and not exists (
      select from audit_events a where a.instance_uuid = t.instance_uuid and a.action = 'revoked'
        and a.reason <> 'caller-gone' and a.occurred_at >= to_timestamp(g.expires - $11::integer))
    on conflict on constraint console_auth_tokens_token_hash_key do nothing
    returning id, instance_uuid, console_type
  ), noted as (
    ${insertAudit(
      {
        action: "adopted",
        actor: actorParameters(12),
        instanceUuid: "instance_uuid",
        consoleType: "console_type",
        tokenId: "id",
      },
      "from adopted",
    )}
  )
  select case when exists (select from adopted) then 'adopted'
    when exists (select from console_auth_tokens where token_hash = $1::text) then 'known'
    else 'refused' end as adoption`;

/** Brings authorizations of the legacy store into the database. */
export class AdoptedTokens {
  readonly #database: Querier;
  readonly #ttlSeconds: number;

  /** `ttlSeconds` is Nova's [consoleauth] token_ttl: no token is good for longer. */
  constructor(database: Querier, ttlSeconds: number) {
    this.#database = database;
    this.#ttlSeconds = ttlSeconds;
  }

  /** Makes it a row, with its audit row, where there is none and the instance allows; a second call finds it there. */
  async adopt(tokenHash: string, console: AuthorizedConsole): Promise<Adoption> {
    const { consoleType, host, port, tlsPort, internalAccessPath, instanceUuid, accessUrlBase, createdBy } = console;
    const target = [consoleType, host, port ?? null, tlsPort ?? null, internalAccessPath ?? null, instanceUuid];
    const expires = Math.floor(console.expiresAt.getTime() / 1_000);
    const whose = [
      accessUrlBase,
      createdBy || UNKNOWN_SUBJECT,
      expires,
      this.#ttlSeconds,
      ...actorValues(SYSTEM_ACTOR),
    ];
    const values = [tokenHash, ...target, ...whose];
    const query = { name: "consoleauth-adopt", text: ADOPT, values };
    const [row] = await this.#database.query<{ adoption: Adoption }>(query);
    return row?.adoption ?? "refused";
  }
}
