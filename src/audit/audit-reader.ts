// SPDX-License-Identifier: Apache-2.0
import type { Querier } from "../db/connection.js";
import { NUMBER_KEYS, pageOf, pageSize, pageStart } from "../db/page-token.js";
import type { Page, PageRequest } from "../db/page-token.js";
import type { AuditAction } from "./audit-log.js";

/** An audit row. What is not known is undefined or empty. */
export interface AuditEvent {
  readonly eventId: bigint;
  readonly occurredAt: Date;
  readonly action: AuditAction;
  readonly reason: string;
  readonly subject: string;
  readonly projectId: string;
  readonly requestId: string;
  readonly clientAddress: string;
  readonly instanceUuid: string | undefined;
  readonly host: string | undefined;
  readonly consoleType: string | undefined;
  readonly sessionId: string | undefined;
  readonly channelId: bigint | undefined;
  readonly tokenCount: number | undefined;
  readonly targetSubject: string | undefined;
}

/** Which events to list; an absent filter matches everything. */
export interface AuditFilters {
  readonly instanceUuid?: string | undefined;
  readonly sessionId?: string | undefined;
  readonly subject?: string | undefined;
  readonly action?: AuditAction | undefined;
  /** From this moment on. */
  readonly since?: Date | undefined;
  /** Before this moment. */
  readonly until?: Date | undefined;
}

const COLUMNS = {
  eventId: "event_id",
  occurredAt: "occurred_at",
  action: "action",
  reason: "reason",
  subject: "subject",
  projectId: "project_id",
  requestId: "request_id",
  clientAddress: "client_address",
  instanceUuid: "instance_uuid",
  host: "host",
  consoleType: "console_type",
  sessionId: "session_id",
  channelId: "channel_id",
  tokenCount: "token_count",
  targetSubject: "target_subject",
} as const satisfies Record<keyof AuditEvent, string>;

const NAMES = Object.keys(COLUMNS) as (keyof AuditEvent)[];
const COLUMN_LIST = NAMES.map((name) => `${COLUMNS[name]} as "${name}"`).join(", ");

type AuditRow = { readonly [Key in keyof AuditEvent]: Exclude<AuditEvent[Key], undefined> | null };

/** Reads the audit. */
export class AuditReader {
  readonly #database: Querier;

  constructor(database: Querier) {
    this.#database = database;
  }

  /** One page, newest first. INVALID_ARGUMENT for a page token of another list. */
  async list(filters: AuditFilters, page: PageRequest): Promise<Page<AuditEvent>> {
    const values: unknown[] = [pageSize(page) + 1];
    const conditions: string[] = [];
    const filterBy = (comparison: string, value: unknown): void => {
      if (value !== undefined) conditions.push(`${comparison} $${values.push(value)}`);
    };
    filterBy("instance_uuid =", filters.instanceUuid);
    filterBy("session_id =", filters.sessionId);
    filterBy("subject =", filters.subject);
    filterBy("action =", filters.action);
    filterBy("occurred_at >=", filters.since);
    filterBy("occurred_at <", filters.until);
    filterBy("event_id <", pageStart(page, filters, NUMBER_KEYS));
    const where = conditions.length === 0 ? "" : `where ${conditions.join(" and ")}`;
    const text = `select ${COLUMN_LIST} from audit_events ${where} order by event_id desc limit $1::integer`;
    const rows = await this.#database.query<AuditRow>({ text, values });
    return pageOf(rows.map(eventFromRow), page, filters, ({ eventId }) => String(eventId));
  }
}

/** Check constraints vouch for the words of a row. */
function eventFromRow(row: AuditRow): AuditEvent {
  return Object.fromEntries(NAMES.map((name) => [name, row[name] ?? undefined])) as unknown as AuditEvent;
}
