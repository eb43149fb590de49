// SPDX-License-Identifier: Apache-2.0

// Issues console tokens. Whether one may exist is decided by the statement that inserts it, on the instance's row as it
// is at that moment; what memory said before only spared the agent a question.

import { actorValues, insertAudit } from "../audit/audit-log.js";
import type { AuditActor } from "../audit/audit-log.js";
import type { Querier } from "../db/connection.js";
import { ServiceError } from "../lib/service-error.js";
import { createToken, hashToken } from "./token.js";

/** A console to authorize. */
export interface AuthorizationRequest {
  readonly instanceUuid: string;
  readonly consoleType: string;
  /** Name of the host whose agent gave the endpoint; the instance must still be there. */
  readonly agentHost: string;
  /** The address that proxies dial for that host. */
  readonly host: string;
  readonly port?: number | undefined;
  readonly tlsPort?: number | undefined;
  readonly internalAccessPath?: string | undefined;
  readonly accessUrlBase: string;
  readonly ttlSeconds: number;
  readonly actor: AuditActor;
}

/** An issued token, the only time that it is seen in plain. */
export interface Authorization {
  readonly token: string;
  /** From this moment on it is refused; whole seconds of Postgres' clock. */
  readonly expiresAt: Date;
}

/** Task states in which Nova hands out no console. */
export const BUSY_TASK_STATES: readonly string[] = ["deleting", "migrating"];

const MOST_COLLISIONS = 3;

// "for share" waits for a delete or a move under way and looks at the row again after it; a delete or move that comes
// later waits for us and then sees the token. Without it one of the two would miss the other.
const AUTHORIZE = `
  with target as materialized (
    select host, task_state, host = $3::text and task_state <> all ($4::text[]) as fit
    from instances where instance_uuid = $1::uuid and deleted_at is null
    for share
  ), issued as (
    insert into console_auth_tokens (token_hash, console_type, host, port, tls_port, internal_access_path,
      instance_uuid, expires, access_url_base, created_by)
    select $5::text, $2::text, $6::text, $7::integer, $8::integer, $9::text,
      $1::uuid, floor(extract(epoch from now()))::bigint + $10::integer, $11::text, $12::text
    from target where fit
    on conflict on constraint console_auth_tokens_token_hash_key do nothing
    returning id, expires
  ), noted as (
    ${insertAudit(
      {
        action: "issued",
        actorAt: 12,
        instanceUuid: "$1::uuid",
        host: "$3::text",
        consoleType: "$2::text",
        tokenId: "id",
      },
      "from issued",
    )}
  )
  select target.host, target.task_state as "taskState", issued.expires from target left join issued on true`;

const WITHDRAW = `
  with withdrawn as (
    delete from console_auth_tokens where token_hash = $1::text and redeemed_at is null
    returning id, instance_uuid, console_type
  )
  ${insertAudit(
    {
      action: "revoked",
      actorAt: 2,
      reason: "'caller-gone'",
      instanceUuid: "instance_uuid",
      consoleType: "console_type",
      tokenId: "id",
      tokenCount: "1",
    },
    "from withdrawn",
  )}`;

interface Outcome {
  readonly host: string | null;
  readonly taskState: string;
  readonly expires: bigint | null;
}

/** The one place where tokens come from. */
export class ConsoleAuthorizer {
  readonly #database: Querier;
  readonly #createToken: () => string;

  constructor(database: Querier, newToken: () => string = createToken) {
    this.#database = database;
    this.#createToken = newToken;
  }

  /**
   * Inserts a token and its audit row, both or neither; each call issues another one. Throws INSTANCE_NOT_FOUND,
   * INSTANCE_NOT_READY (no host, or moved meanwhile), INSTANCE_BUSY or DATABASE_UNAVAILABLE.
   */
  async authorize(request: AuthorizationRequest): Promise<Authorization> {
    for (let attempt = 0; attempt < MOST_COLLISIONS; attempt += 1) {
      const token = this.#createToken();
      const values = authorizeValues(request, hashToken(token));
      const [outcome] = await this.#database.query<Outcome>({ name: "tokens-authorize", text: AUTHORIZE, values });
      if (typeof outcome?.expires === "bigint") {
        return { token, expiresAt: new Date(Number(outcome.expires) * 1_000) };
      }
      assertFit(request, outcome);
    }
    throw new ServiceError("INTERNAL", "no unused token was found");
  }

  /** Deletes a token that nobody was given, since its caller went away meanwhile. A second call does nothing. */
  async withdraw(token: string, actor: AuditActor): Promise<void> {
    const values = [hashToken(token), ...actorValues(actor)];
    await this.#database.query({ name: "tokens-withdraw", text: WITHDRAW, values });
  }
}

function authorizeValues(request: AuthorizationRequest, hash: string): readonly unknown[] {
  return [
    request.instanceUuid,
    request.consoleType,
    request.agentHost,
    BUSY_TASK_STATES,
    hash,
    request.host,
    request.port ?? null,
    request.tlsPort ?? null,
    request.internalAccessPath ?? null,
    request.ttlSeconds,
    request.accessUrlBase,
    ...actorValues(request.actor),
  ];
}

/** Throws what the row says against a console; returns where it says nothing, so that the token was a duplicate. */
function assertFit(request: AuthorizationRequest, row: Outcome | undefined): void {
  if (!row) throw new ServiceError("INSTANCE_NOT_FOUND", "there is no such instance");
  if (row.host === null) throw new ServiceError("INSTANCE_NOT_READY", "the instance has no host");
  if (BUSY_TASK_STATES.includes(row.taskState)) {
    throw new ServiceError("INSTANCE_BUSY", `the instance is ${row.taskState}`, {
      metadata: { task_state: row.taskState },
    });
  }
  if (row.host !== request.agentHost) {
    throw new ServiceError("INSTANCE_NOT_READY", "the instance has just moved to another host; try again");
  }
}
