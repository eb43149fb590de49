// SPDX-License-Identifier: Apache-2.0
import { actorParameters, actorValues, insertAudit } from "../audit/audit-log.js";
import type { AuditActor } from "../audit/audit-log.js";
import type { Querier } from "../db/connection.js";
import { PURGE_BATCH } from "../lib/limits.js";
import { ServiceError } from "../lib/service-error.js";

/** What a token stands for. */
export interface ConsoleTarget {
  readonly instanceUuid: string;
  readonly consoleType: string;
  /** The host's address for displays, for native proxies: our own asks the agent anew. */
  readonly host: string;
  readonly port: number | undefined;
  readonly tlsPort: number | undefined;
  readonly internalAccessPath: string | undefined;
}

/** A token as a viewer brings it. */
export interface PresentedToken {
  readonly instanceUuid: string;
  readonly consoleType: string;
  /** The ports of the display that it was issued for; undefined where that has none. */
  readonly port: number | undefined;
  readonly tlsPort: number | undefined;
  /** What its URL began with. */
  readonly accessUrlBase: string | undefined;
  /** Who asked for it. */
  readonly subject: string;
  readonly state: "usable" | "used" | "expired";
}

type PresentedRow = Omit<PresentedToken, "port" | "tlsPort" | "accessUrlBase"> & {
  readonly port: number | null;
  readonly tlsPort: number | null;
  readonly accessUrlBase: string | null;
};

const INSPECT = `
  select instance_uuid as "instanceUuid", console_type as "consoleType", port, tls_port as "tlsPort",
    access_url_base as "accessUrlBase", created_by as subject,
    case when expires <= extract(epoch from now()) then 'expired' when redeemed_at is not null then 'used'
      else 'usable' end as state
  from console_auth_tokens where token_hash = $1::text`;

// Strictly greater, as Nova compares: in the second named by expires the token is already refused. What can only be looked
// at is not for other proxies: they would let the viewer type.
const LOOK_UP = `
  with found as (
    select id, instance_uuid, console_type, host, port, tls_port, internal_access_path from console_auth_tokens
    where token_hash = $1::text and (redeemed_at is null or $6::boolean) and expires > extract(epoch from now())
      and not view_only
  ), noted as (
    ${insertAudit(
      {
        action: "looked-up",
        actor: actorParameters(2),
        instanceUuid: "instance_uuid",
        consoleType: "console_type",
        tokenId: "id",
      },
      "from found",
    )}
  )
  select instance_uuid as "instanceUuid", console_type as "consoleType", host, port, tls_port as "tlsPort",
    internal_access_path as "internalAccessPath" from found`;

const REVOKE = `
  with revoked as (
    delete from console_auth_tokens where instance_uuid = $1::uuid and (redeemed_at is null or $6::boolean) returning id
  ), noted as (
    ${insertAudit({
      action: "revoked",
      actor: actorParameters(2),
      reason: "'requested'",
      instanceUuid: "$1::uuid",
      tokenCount: "(select count(*) from revoked)",
    })}
  )
  select count(*)::integer as count from revoked`;

const PURGE = `
  with purged as (
    delete from console_auth_tokens where id in
      (select id from console_auth_tokens where expires <= extract(epoch from now()) limit $1 for update skip locked)
    returning id
  )
  select count(*)::integer as count from purged`;

interface Count {
  readonly count: number;
}

/** How tokens are used here. */
export interface ConsoleTokenStoreOptions {
  /** Whether a token that was redeemed opens its console again (console.compat_tokens). */
  readonly reusable: boolean;
}

/** Tokens that exist. */
export class ConsoleTokenStore {
  readonly #database: Querier;
  readonly #reusable: boolean;

  constructor(database: Querier, { reusable }: ConsoleTokenStoreOptions = { reusable: false }) {
    this.#database = database;
    this.#reusable = reusable;
  }

  /** What an unexpired token that can be used stands for; it is not consumed. Otherwise TOKEN_NOT_FOUND. */
  async lookup(tokenHash: string, actor: AuditActor): Promise<ConsoleTarget> {
    const values = [tokenHash, ...actorValues(actor), this.#reusable];
    const [row] = await this.#database.query<NullableTarget>({ name: "tokens-lookup", text: LOOK_UP, values });
    if (!row) throw new ServiceError("TOKEN_NOT_FOUND", "the token is unknown, used or expired");
    return {
      ...row,
      port: row.port ?? undefined,
      tlsPort: row.tlsPort ?? undefined,
      internalAccessPath: row.internalAccessPath ?? undefined,
    };
  }

  /** A token with its state, used and expired ones too; undefined for one that never was or is forgotten. */
  async inspect(tokenHash: string): Promise<PresentedToken | undefined> {
    const query = { name: "tokens-inspect", text: INSPECT, values: [tokenHash] };
    const [row] = await this.#database.query<PresentedRow>(query);
    if (!row) return undefined;
    const { port, tlsPort, accessUrlBase } = row;
    return {
      ...row,
      port: port ?? undefined,
      tlsPort: tlsPort ?? undefined,
      accessUrlBase: accessUrlBase ?? undefined,
    };
  }

  /** Deletes the tokens of an instance that can be used and says how many; a second call answers 0. */
  async revoke(instanceUuid: string, actor: AuditActor): Promise<number> {
    const values = [instanceUuid, ...actorValues(actor), this.#reusable];
    const [row] = await this.#database.query<Count>({ name: "tokens-revoke", text: REVOKE, values });
    return row?.count ?? 0;
  }
}

type NullableTarget = { readonly [Key in keyof ConsoleTarget]: Exclude<ConsoleTarget[Key], undefined> | null } & {
  readonly instanceUuid: string;
  readonly consoleType: string;
  readonly host: string;
};

/** Deletes a batch of expired tokens, redeemed or not, and says how many. */
export async function purgeExpiredTokens(querier: Querier): Promise<number> {
  const [row] = await querier.query<Count>({ text: PURGE, values: [PURGE_BATCH] });
  return row?.count ?? 0;
}
