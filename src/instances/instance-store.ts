// SPDX-License-Identifier: Apache-2.0
import { SYSTEM_ACTOR, actorParameters, actorValues, insertAudit } from "../audit/audit-log.js";
import type { AuditActor } from "../audit/audit-log.js";
import type { Querier } from "../db/connection.js";
import { pageOf, pageSize, pageStart } from "../db/page-token.js";
import type { Page, PageRequest } from "../db/page-token.js";
import type { Database } from "../db/pool.js";
import { ServiceError } from "../lib/service-error.js";
import { invalid, isUuid } from "../lib/validate.js";
import { announceChanged } from "./announcements.js";
import type { Instance, InstanceChanges, InstanceFilters, InstanceRegistration, NamePart } from "./instance.js";
import { lockInstances, readInstances, revokeMoved, settle } from "./ownership.js";
import type { OwnershipRules } from "./ownership.js";
import { INSTANCE_COLUMN_LIST, INSTANCE_COLUMNS, instanceFromRow } from "./rows.js";
import type { InstanceRow } from "./rows.js";

const FIND = `
  select ${INSTANCE_COLUMN_LIST} from instances
  where instance_uuid = $1::uuid and ($2::text is null or (project_id = $2::text and $2::text <> ''))`;

const CREATE_REGISTERED = `
  insert into instances (instance_uuid, registered) values ($1::uuid, true)
  on conflict on constraint instances_pkey do nothing`;

// Null leaves a column as it is; a tombstone is revived with what the orchestrator says now and nothing else.
const WRITE = `
  with wanted as (
    select instance_uuid, host as old_host,
      case when claimed or $5::text is null then host else nullif($5::text, '') end as host,
      coalesce($2::text, name) as name, coalesce($3::text, project_id) as project_id,
      coalesce($4::text, user_id) as user_id, coalesce($6::text, vm_state) as vm_state,
      coalesce($7::text, task_state) as task_state,
      case when deleted_at is null then created_at else now() end as created_at
    from instances where instance_uuid = $1::uuid
  ), changed as (
    update instances i set host = w.host, name = w.name, project_id = w.project_id, user_id = w.user_id,
      vm_state = w.vm_state, task_state = w.task_state, registered = true, created_at = w.created_at,
      undefined_at = null, deleted_at = null, revision = nextval('instance_revisions'), updated_at = now()
    from wanted w
    where i.instance_uuid = w.instance_uuid
      and (i.host, i.name, i.project_id, i.user_id, i.vm_state, i.task_state, i.registered, i.undefined_at,
        i.deleted_at)
        is distinct from (w.host, w.name, w.project_id, w.user_id, w.vm_state, w.task_state, true, null, null)
    returning i.instance_uuid, w.old_host, i.host
  ), ${revokeMoved("changed", 8)}
  select count(*)::integer as count from changed`;

// Everything but the name of the tombstone goes, so that a later registration finds nothing of the past.
const BURY = `
  with buried as (
    update instances set deleted_at = now(), updated_at = now(), revision = nextval('instance_revisions'),
      registered = false, name = '', project_id = '', user_id = '', vm_state = '', task_state = '', host = null,
      claimed = false, power_state = null, displays = '{}', conflict_host = null, undefined_at = null
    where instance_uuid = $1::uuid and deleted_at is null
    returning instance_uuid
  ), revoked as (
    delete from console_auth_tokens t using buried b where t.instance_uuid = b.instance_uuid returning t.id
  ), noted as (
    ${insertAudit(
      {
        action: "revoked",
        actor: actorParameters(2),
        reason: "'deleted'",
        instanceUuid: "instance_uuid",
        tokenCount: "(select count(*) from revoked)",
      },
      "from buried",
    )}
  )
  select (select count(*) from revoked)::integer as count from buried`;

/** What a deletion leaves. */
export interface Burial {
  readonly tombstone: Instance;
  /** How many tokens went with the instance. */
  readonly tokens: number;
}

const NOT_FOUND = "there is no such instance";

/** The orchestrator's half of the instances, and reading them; other controllers are told what changes. */
export class InstanceStore {
  readonly #database: Database;
  readonly #rules: OwnershipRules;

  constructor(database: Database, rules: OwnershipRules) {
    this.#database = database;
    this.#rules = rules;
  }

  /** Creates, replaces or revives; the second time with the same content changes nothing. */
  register(registration: InstanceRegistration): Promise<Instance> {
    const { uuid } = registration;
    return this.#database.transaction(async (querier) => {
      await querier.query({ text: CREATE_REGISTERED, values: [uuid] });
      await lockInstances(querier, [uuid]);
      await write(querier, uuid, registration);
      await settle(querier, [uuid], this.#rules);
      await announceChanged(querier, [uuid]);
      return readOne(querier, uuid);
    });
  }

  /**
   * Changes what `changes` names; an instance that only an agent had reported becomes a registered one. Throws
   * INSTANCE_NOT_FOUND, and INVALID_ARGUMENT for another host than the one an agent claims.
   */
  update(uuid: string, changes: InstanceChanges): Promise<Instance> {
    return this.#database.transaction(async (querier) => {
      await lockInstances(querier, [uuid]);
      const found = await readOne(querier, uuid);
      if (changes.host !== undefined && found.claimed && changes.host !== found.host) {
        throw invalid("host", "cannot be set while an agent reports the instance's domain");
      }
      await write(querier, uuid, changes);
      await announceChanged(querier, [uuid]);
      return readOne(querier, uuid);
    });
  }

  /** Leaves a tombstone and deletes all its tokens. INSTANCE_NOT_FOUND where there is nothing. */
  delete(uuid: string, actor: AuditActor): Promise<Burial> {
    return this.#database.transaction(async (querier) => {
      await lockInstances(querier, [uuid]);
      const values = [uuid, ...actorValues(actor)];
      const [buried] = await querier.query<{ count: number }>({ text: BURY, values });
      const [tombstone] = await readInstances(querier, [uuid]);
      if (!buried || !tombstone) throw new ServiceError("INSTANCE_NOT_FOUND", NOT_FOUND);
      await announceChanged(querier, [uuid]);
      return { tombstone, tokens: buried.count };
    });
  }

  /** One instance, tombstones included; with a project only one of that project's, and none of "". */
  async find(uuid: string, projectId?: string): Promise<Instance | undefined> {
    const query = { name: "instances-find", text: FIND, values: [uuid, projectId ?? null] };
    const [row] = await this.#database.query<InstanceRow>(query);
    return row && instanceFromRow(row);
  }

  /** Several instances, tombstones included; unknown ones are missing. */
  read(uuids: readonly string[]): Promise<readonly Instance[]> {
    return readInstances(this.#database, uuids);
  }

  /** One page of the living, by uuid. */
  list(filters: InstanceFilters, page: PageRequest): Promise<Page<Instance>> {
    return this.#database.mapped(async () => {
      const after = pageStart(page, filters, isUuid);
      let query = this.#database.kysely.selectFrom("instances").select(INSTANCE_COLUMNS);
      query = query
        .where("deleted_at", "is", null)
        .orderBy("instance_uuid")
        .limit(pageSize(page) + 1);
      if (after !== undefined) query = query.where("instance_uuid", ">", after);
      if (filters.projectId !== undefined) query = query.where("project_id", "=", filters.projectId);
      if (filters.host !== undefined) query = query.where("host", "=", filters.host);
      if (filters.name !== undefined) query = query.where("name", "=", filters.name);
      if (filters.namePart !== undefined) query = query.where("name", "ilike", patternOf(filters.namePart));
      if (filters.after !== undefined) query = query.where("instance_uuid", ">", filters.after);
      if (filters.powerState !== undefined) query = query.where("power_state", "=", filters.powerState);
      const rows = await query.execute();
      return pageOf(rows.map(instanceFromRow), page, filters, (instance) => instance.uuid);
    });
  }

  /** Up to `limit` of the living after a uuid, for filling a memory. */
  async readAfter(uuid: string, limit: number): Promise<readonly Instance[]> {
    const rows = await this.#database.query<InstanceRow>({ text: READ_AFTER, values: [uuid, limit] });
    return rows.map(instanceFromRow);
  }
}

const READ_AFTER = `
  select ${INSTANCE_COLUMN_LIST} from instances
  where instance_uuid > $1::uuid and deleted_at is null order by instance_uuid limit $2`;

/** What Postgres' "like" takes, in which the text stands for itself. */
function patternOf({ text, atStart, atEnd }: NamePart): string {
  return `${atStart ? "" : "%"}${text.replace(/[\\%_]/g, "\\$&")}${atEnd ? "" : "%"}`;
}

async function write(querier: Querier, uuid: string, changes: InstanceChanges): Promise<void> {
  const { name, projectId, userId, host, vmState, taskState } = changes;
  const texts = [name, projectId, userId, host, vmState, taskState].map((text) => text ?? null);
  await querier.query({ text: WRITE, values: [uuid, ...texts, ...actorValues(SYSTEM_ACTOR)] });
}

async function readOne(querier: Querier, uuid: string): Promise<Instance> {
  const [instance] = await readInstances(querier, [uuid]);
  if (!instance || instance.deleted) throw new ServiceError("INSTANCE_NOT_FOUND", NOT_FOUND);
  return instance;
}
