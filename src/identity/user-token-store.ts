// SPDX-License-Identifier: Apache-2.0

// Tokens as Postgres has them. Each change is one statement together with its audit row, and every expiry is judged by
// Postgres' clock within the statement that asks. A revocation is said on USER_TOKENS_CHANNEL when it is true.

import { SYSTEM_ACTOR, actorParameters, actorValues, insertAudit } from "../audit/audit-log.js";
import type { AuditActor } from "../audit/audit-log.js";
import type { Querier } from "../db/connection.js";
import type { Page, PageRequest } from "../db/page-token.js";
import { pageOf, pageSize, pageStart } from "../db/page-token.js";
import type { Database } from "../db/pool.js";
import { PURGE_BATCH } from "../lib/limits.js";
import type { Role } from "../rpc/caller.js";
import type { UserToken } from "./user-token.js";
import { createUserToken, hashUserToken, userTokenId } from "./user-token.js";

/** Says that tokens were revoked. */
export const USER_TOKENS_CHANNEL = "spicegate_user_tokens";

/** What a token is to stand for. */
export interface UserTokenRequest {
  readonly subject: string;
  readonly projectId: string;
  readonly roles: readonly Role[];
  readonly ttlSeconds: number;
}

/** A token with its secret, which is nowhere else. */
export interface IssuedUserToken {
  readonly token: string;
  readonly userToken: UserToken;
}

/** Which tokens to revoke. */
export type UserTokenTarget = { readonly tokenId: string } | { readonly subject: string };

/** A token that is good now. */
export interface GoodUserToken {
  readonly userToken: UserToken;
  /** For how long, by Postgres' clock. */
  readonly remainingMs: number;
}

const COLUMNS = `token_id as "tokenId", subject, project_id as "projectId", roles, created_by as "createdBy",
  created_at as "createdAt", expires_at as "expiresAt"`;

const GOOD = "revoked_at is null and expires_at > now()";

const CREATE = `
  with created as (
    insert into user_tokens (token_id, token_hash, subject, project_id, roles, created_by, expires_at)
    values ($5::text, decode($6::text, 'hex'), $7::text, $8::text, $9::text[], $1::text,
      now() + $10::integer * interval '1 s')
    returning *
  ), noted as (
    ${insertAudit(
      {
        action: "user-token-created",
        actor: actorParameters(1),
        targetSubject: "subject",
        tokenCount: "1",
      },
      "from created",
    )}
  )
  select ${COLUMNS} from created`;

const REVOKE = `
  with revoked as (
    update user_tokens set revoked_at = now()
    where (token_id = $5::text or subject = $6::text) and ${GOOD}
    returning subject
  ), noted as (
    ${insertAudit(
      {
        action: "user-tokens-revoked",
        actor: actorParameters(1),
        targetSubject: "subject",
        tokenCount: "count(*)",
      },
      "from revoked group by subject",
    )}
  ), said as (
    select pg_notify('${USER_TOKENS_CHANNEL}', '') where exists (select from revoked)
  )
  select (select count(*)::integer from revoked) as count, (select count(*) from said) as said`;

const FIND = `
  select encode(token_hash, 'hex') as hash, ${COLUMNS},
    (extract(epoch from expires_at - now()) * 1000)::float8 as "remainingMs"
  from user_tokens where token_hash = any ($1::bytea[]) and ${GOOD}`;

const PURGE = `
  with purged as (
    delete from user_tokens where token_id in
      (select token_id from user_tokens where expires_at <= now() limit $1 for update skip locked)
    returning token_id
  )
  select count(*)::integer as count from purged`;

// The place of a row in the list: its time in microseconds, which a Date does not hold, and its name.
const PLACE = `(extract(epoch from created_at) * 1000000)::bigint || ' ' || token_id`;
const isPlace = (key: string): boolean => /^\d{1,16} [0-9a-f]{16}$/.test(key);

const NO_OTHER_WAY_IN = "lock table user_tokens in share row exclusive mode";
const ANY_GOOD = `select from user_tokens where ${GOOD} limit 1`;

interface Count {
  readonly count: number;
}

/** The tokens of people and programs. */
export class UserTokenStore {
  readonly #database: Pick<Database, "query" | "transaction">;

  constructor(database: Pick<Database, "query" | "transaction">) {
    this.#database = database;
  }

  /** Makes a token; a second call makes another one. */
  create(request: UserTokenRequest, actor: AuditActor): Promise<IssuedUserToken> {
    return insert(this.#database, request, actor);
  }

  /** The same while there is no token that is good, else undefined: of several callers one gets it. */
  createFirst(request: UserTokenRequest): Promise<IssuedUserToken | undefined> {
    return this.#database.transaction(async (querier) => {
      await querier.query({ text: NO_OTHER_WAY_IN });
      const others = await querier.query({ text: ANY_GOOD });
      return others.length > 0 ? undefined : insert(querier, request, SYSTEM_ACTOR);
    });
  }

  /** A page of the tokens that are good, newest first. INVALID_ARGUMENT for a page token of another list. */
  async list(filters: { readonly subject?: string | undefined }, page: PageRequest): Promise<Page<UserToken>> {
    const [time, tokenId] = pageStart(page, filters, isPlace)?.split(" ") ?? [];
    const text = `
      select ${COLUMNS}, ${PLACE} as place from user_tokens
      where ${GOOD} and ($2::text is null or subject = $2::text)
        and ($3::bigint is null
          or (created_at, token_id) < (timestamptz 'epoch' + $3::bigint * interval '1 microsecond', $4::text))
      order by created_at desc, token_id desc limit $1::integer`;
    const values = [pageSize(page) + 1, filters.subject ?? null, time ?? null, tokenId ?? null];
    const rows = await this.#database.query<UserToken & { readonly place: string }>({ text, values });
    return pageOf(rows, page, filters, ({ place }) => place);
  }

  /** Revokes what is good of them and says how many that were; a second call answers 0. */
  async revoke(target: UserTokenTarget, actor: AuditActor): Promise<number> {
    const which = "tokenId" in target ? [target.tokenId, null] : [null, target.subject];
    const values = [...actorValues(actor), ...which];
    const [row] = await this.#database.query<Count>({ name: "user-tokens-revoke", text: REVOKE, values });
    return row?.count ?? 0;
  }

  /** Those of these hashes whose tokens are good now. */
  async find(hashes: readonly string[]): Promise<ReadonlyMap<string, GoodUserToken>> {
    const bytes = hashes.map((hash) => Buffer.from(hash, "hex"));
    const query = { name: "user-tokens-find", text: FIND, values: [bytes] };
    const rows = await this.#database.query<UserToken & { readonly hash: string; readonly remainingMs: number }>(query);
    return new Map(rows.map(({ hash, remainingMs, ...userToken }) => [hash, { userToken, remainingMs }]));
  }
}

/** Deletes a batch of expired tokens, revoked or not, and says how many. */
export async function purgeExpiredUserTokens(querier: Querier): Promise<number> {
  const [row] = await querier.query<Count>({ text: PURGE, values: [PURGE_BATCH] });
  return row?.count ?? 0;
}

async function insert(querier: Querier, request: UserTokenRequest, actor: AuditActor): Promise<IssuedUserToken> {
  const { subject, projectId, roles, ttlSeconds } = request;
  const token = createUserToken();
  const hash = hashUserToken(token);
  const values = [...actorValues(actor), userTokenId(hash), hash, subject, projectId, roles, ttlSeconds];
  const [userToken] = await querier.query<UserToken>({ name: "user-tokens-create", text: CREATE, values });
  if (!userToken) throw new Error("the statement that makes a token returned none");
  return { token, userToken };
}
