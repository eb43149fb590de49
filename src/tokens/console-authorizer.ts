// SPDX-License-Identifier: Apache-2.0

// Issues console tokens. Whether one may exist is decided by the statement that inserts it, on the instance's row as it
// is at that moment; what memory said before only spared the agent a question.

import { actorParameters, actorValues, insertAudit } from "../audit/audit-log.js";
import type { AuditActor } from "../audit/audit-log.js";
import { Batches } from "../db/batches.js";
import type { Querier } from "../db/connection.js";
import { ServiceError } from "../lib/service-error.js";
import { createToken, hashToken } from "./token.js";

/** A console to authorize. */
export interface AuthorizationRequest {
  readonly instanceUuid: string;
  readonly consoleType: string;
  /** Name of the host whose agent gave the endpoint; the instance must still be there. */
  readonly agentHost: string;
  /** The project that the instance must still belong to; undefined: any. */
  readonly ownedBy?: string | undefined;
  /** The host's address for displays, as the agent's settings have it. It and the path are for native proxies. */
  readonly host: string;
  readonly port?: number | undefined;
  readonly tlsPort?: number | undefined;
  readonly internalAccessPath?: string | undefined;
  readonly accessUrlBase: string;
  /** Whether the console can only be looked at. */
  readonly viewOnly: boolean;
  readonly ttlSeconds: number;
  readonly actor: AuditActor;
}

/** An issued token, the only time that it is seen in plain. */
export interface Authorization {
  readonly token: string;
  /** Under which it is stored. */
  readonly tokenHash: string;
  /** From this moment on it is refused; whole seconds of Postgres' clock. */
  readonly expiresAt: Date;
}

/** Task states in which Nova hands out no console. */
export const BUSY_TASK_STATES: readonly string[] = ["deleting", "migrating"];

const MOST_COLLISIONS = 3;

/** What a statement is told of each request, in this order. */
const ASKED = [
  ["at", "integer"],
  ["instance_uuid", "uuid"],
  ["console_type", "text"],
  ["agent_host", "text"],
  ["owned_by", "text"],
  ["token_hash", "text"],
  ["host", "text"],
  ["port", "integer"],
  ["tls_port", "integer"],
  ["internal_access_path", "text"],
  ["ttl", "integer"],
  ["access_url_base", "text"],
  ["view_only", "boolean"],
  ["subject", "text"],
  ["project_id", "text"],
  ["request_id", "text"],
  ["client_address", "text"],
] as const;

/** Many requests: one JSON array. */
const MANY = `materialized (
    select * from json_to_recordset($3::json) as a (${ASKED.map(([name, type]) => `${name} ${type}`).join(", ")})`;

/** One request: a parameter for each column, which the planner puts where it is used. Half the work of JSON. */
const ONE = `not materialized (
    select ${ASKED.map(([name, type], index) => `$${index + 3}::${type} as ${name}`).join(", ")}`;

// "for share" makes a delete or a move that comes later wait for us, and then it sees the token. What is locked by one
// that is under way is skipped here, so that it holds up nobody else, and asked for again alone.
const SKIP_LOCKED = "for share skip locked";

// Waits for the delete or move under way and looks at the row again after it. Without that one of the two would miss
// the other.
const WAIT = "for share";

// Memory may not have heard yet that the instance was given to another project.
const SEEN = "t.instance_uuid = a.instance_uuid and (a.owned_by is null or t.project_id = a.owned_by)";

const AUTHORIZE_MANY = statement(MANY, SKIP_LOCKED);
const AUTHORIZE_ONE = statement(ONE, SKIP_LOCKED);
const AUTHORIZE_WAITING = statement(ONE, WAIT);

function statement(asked: string, lock: string): string {
  return `
  with asked as ${asked}
  ), target as materialized (
    select instance_uuid, project_id, host, task_state from instances
    where instance_uuid = any ($2::uuid[]) and deleted_at is null ${lock}
  ), issued as (
    insert into console_auth_tokens (token_hash, console_type, host, port, tls_port, internal_access_path,
      instance_uuid, expires, access_url_base, created_by, view_only)
    select a.token_hash, a.console_type, a.host, a.port, a.tls_port, a.internal_access_path,
      a.instance_uuid, floor(extract(epoch from now()))::bigint + a.ttl, a.access_url_base, a.subject,
      a.view_only
    from asked a join target t on ${SEEN}
    where t.host = a.agent_host and t.task_state <> all ($1::text[])
    on conflict on constraint console_auth_tokens_token_hash_key do nothing
    returning id, token_hash, expires
  ), noted as (
    ${insertAudit(
      {
        action: "issued",
        actor: ["subject", "project_id", "request_id", "client_address"],
        reason: "case when view_only then 'view-only' else '' end",
        instanceUuid: "instance_uuid",
        host: "agent_host",
        consoleType: "console_type",
        tokenId: "id",
      },
      "from issued join asked using (token_hash)",
    )}
  )
  select a.at, t.instance_uuid is not null as found, t.host, t.task_state as "taskState", issued.expires
  from asked a
    left join target t on ${SEEN}
    left join issued on issued.token_hash = a.token_hash`;
}

const WITHDRAW = `
  with withdrawn as (
    delete from console_auth_tokens where token_hash = $1::text and redeemed_at is null
    returning id, instance_uuid, console_type
  )
  ${insertAudit(
    {
      action: "revoked",
      actor: actorParameters(2),
      reason: "'caller-gone'",
      instanceUuid: "instance_uuid",
      consoleType: "console_type",
      tokenId: "id",
      tokenCount: "1",
    },
    "from withdrawn",
  )}`;

/** What one request is to a statement. */
interface Attempt {
  readonly request: AuthorizationRequest;
  readonly tokenHash: string;
}

/** What the statement says of it; without a row of the instance the other fields are null. */
interface Outcome {
  /** Which of the requests this is about. */
  readonly at: number;
  readonly found: boolean;
  readonly host: string | null;
  readonly taskState: string | null;
  readonly expires: bigint | null;
}

/** The one place where tokens come from. Requests that come at the same time share a statement. */
export class ConsoleAuthorizer {
  readonly #database: Querier;
  readonly #createToken: () => string;
  readonly #batches = new Batches<Attempt, Outcome>((attempts) => this.#authorizeAll(attempts));

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
      const tokenHash = hashToken(token);
      const outcome = await this.#attempt({ request, tokenHash });
      if (typeof outcome.expires === "bigint") {
        return { token, tokenHash, expiresAt: new Date(Number(outcome.expires) * 1_000) };
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

  async #attempt(attempt: Attempt): Promise<Outcome> {
    const outcome = await this.#batches.add(attempt);
    if (outcome.found) return outcome;
    // Unknown, or locked by a delete, a move or a report.
    const query = { name: "tokens-authorize-waiting", text: AUTHORIZE_WAITING, values: valuesOfOne(attempt) };
    return (await this.#database.query<Outcome>(query))[0] ?? outcome;
  }

  async #authorizeAll(attempts: readonly Attempt[]): Promise<readonly Outcome[]> {
    const [first, ...others] = attempts;
    const query =
      first && others.length === 0
        ? { name: "tokens-authorize-one", text: AUTHORIZE_ONE, values: valuesOfOne(first) }
        : { name: "tokens-authorize-many", text: AUTHORIZE_MANY, values: valuesOfMany(attempts) };
    const outcomes = await this.#database.query<Outcome>(query);
    return [...outcomes].sort((a, b) => a.at - b.at);
  }
}

function valuesOfOne(attempt: Attempt): readonly unknown[] {
  const row = rowOf(attempt, 0);
  return [BUSY_TASK_STATES, [attempt.request.instanceUuid], ...ASKED.map(([name]) => row[name])];
}

function valuesOfMany(attempts: readonly Attempt[]): readonly unknown[] {
  const uuids = attempts.map(({ request }) => request.instanceUuid);
  return [BUSY_TASK_STATES, uuids, JSON.stringify(attempts.map(rowOf))];
}

function rowOf({ request, tokenHash }: Attempt, at: number): Record<(typeof ASKED)[number][0], unknown> {
  return {
    at,
    instance_uuid: request.instanceUuid,
    console_type: request.consoleType,
    agent_host: request.agentHost,
    owned_by: request.ownedBy ?? null,
    token_hash: tokenHash,
    host: request.host,
    port: request.port ?? null,
    tls_port: request.tlsPort ?? null,
    internal_access_path: request.internalAccessPath ?? null,
    ttl: request.ttlSeconds,
    access_url_base: request.accessUrlBase,
    view_only: request.viewOnly,
    subject: request.actor.subject,
    project_id: request.actor.projectId,
    request_id: request.actor.requestId,
    client_address: request.actor.clientAddress,
  };
}

/** Throws what the row says against a console; returns where it says nothing, so that the token was a duplicate. */
function assertFit(request: AuthorizationRequest, row: Outcome): void {
  if (!row.found) throw new ServiceError("INSTANCE_NOT_FOUND", `there is no instance ${request.instanceUuid}`);
  if (row.host === null) throw new ServiceError("INSTANCE_NOT_READY", "the instance has no host");
  const taskState = row.taskState ?? "";
  if (BUSY_TASK_STATES.includes(taskState)) {
    throw new ServiceError("INSTANCE_BUSY", `the instance is ${taskState}`, { metadata: { task_state: taskState } });
  }
  if (row.host !== request.agentHost) {
    throw new ServiceError("INSTANCE_NOT_READY", "the instance has just moved to another host; try again");
  }
}
