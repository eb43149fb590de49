// SPDX-License-Identifier: Apache-2.0

// What agents report, and whether it counts. A report is one transaction that first locks its host's row, so reports of
// one host follow each other whichever controller they come through.

import type { Querier } from "../db/connection.js";
import type { Database } from "../db/pool.js";
import { SNAPSHOT_BATCH } from "../lib/limits.js";
import type { EventReport, ReportedDomain, ReportOutcome, SnapshotReport } from "./host.js";
import type { Instance } from "./instance.js";
import { INSTANCE_COLUMN_LIST, instanceFromRow } from "./rows.js";
import type { InstanceRow } from "./rows.js";
import { readInstances, settle } from "./ownership.js";
import type { OwnershipRules } from "./ownership.js";

/** What became of a report, and the instances it was about as they are now (changed or not). */
export interface ReportResult {
  readonly outcome: ReportOutcome;
  readonly instances: readonly Instance[];
}

interface HostMark {
  readonly generation: bigint;
  readonly snapshot_generation: bigint;
  readonly snapshot_sequence: bigint;
}

const LOCK_HOST = `
  update hosts set last_seen_at = now() where host = $1 returning generation, snapshot_generation, snapshot_sequence`;

// As newer as the claim, or newer: an event may carry the number that the snapshot had reached.
const CLAIM_ALL = `
  insert into domain_claims as c (host, instance_uuid, generation, sequence, power_state, displays, domain_name,
    owner_name, owner_project_id, owner_user_id)
  select $1::text, d.uuid, $2::bigint, $3::bigint, d.power_state, d.displays, d.domain_name,
    d.owner_name, d.owner_project_id, d.owner_user_id
  from jsonb_to_recordset($4::jsonb) as d (uuid uuid, power_state text, displays text[], domain_name text,
    owner_name text, owner_project_id text, owner_user_id text)
  on conflict on constraint domain_claims_pkey do update set
    generation = excluded.generation, sequence = excluded.sequence, gone = false,
    power_state = excluded.power_state, displays = excluded.displays, domain_name = excluded.domain_name,
    owner_name = excluded.owner_name, owner_project_id = excluded.owner_project_id,
    owner_user_id = excluded.owner_user_id, changed_at = now()
  where (c.generation, c.sequence) <= (excluded.generation, excluded.sequence)
    and (c.gone, c.power_state, c.displays, c.domain_name, c.owner_name, c.owner_project_id, c.owner_user_id)
      is distinct from (false, excluded.power_state, excluded.displays, excluded.domain_name, excluded.owner_name,
        excluded.owner_project_id, excluded.owner_user_id)
  returning instance_uuid`;

// Those that the snapshot's own number stands for from here on, the marks of gone ones among them.
const COVERED = `
  select instance_uuid, gone from domain_claims
  where host = $1::text and (generation, sequence) <= ($2::bigint, $3::bigint)`;

const DROP = `delete from domain_claims where host = $1::text and instance_uuid = any ($2::uuid[])`;

// A conflict may be decided by the host being up again; a claim may have outlived the purged tombstone of its instance.
const UNSETTLED = `
  select c.instance_uuid from domain_claims c left join instances i on i.instance_uuid = c.instance_uuid
  where c.host = $1::text and not c.gone and (i.instance_uuid is null or i.conflict_host is not null)`;

const MARK_SNAPSHOT = `
  update hosts set snapshot_generation = $2::bigint, snapshot_sequence = $3::bigint where host = $1::text`;

// Not only what is on the host: what it claims in vain shows a conflict.
const READ_CONCERNED = `
  select ${INSTANCE_COLUMN_LIST} from instances where instance_uuid in (
    select instance_uuid from instances where host = $1::text
    union select instance_uuid from domain_claims where host = $1::text
    union select unnest($2::uuid[])
  )`;

const CLAIM_ONE = `
  insert into domain_claims as c (host, instance_uuid, generation, sequence, power_state, displays, domain_name,
    owner_name, owner_project_id, owner_user_id, gone)
  values ($1::text, $4::uuid, $2::bigint, $3::bigint, $5::text, $6::text[], $7::text, $8::text, $9::text, $10::text,
    $11::boolean)
  on conflict on constraint domain_claims_pkey do update set
    generation = excluded.generation, sequence = excluded.sequence, gone = excluded.gone,
    power_state = excluded.power_state, displays = excluded.displays, domain_name = excluded.domain_name,
    owner_name = excluded.owner_name, owner_project_id = excluded.owner_project_id,
    owner_user_id = excluded.owner_user_id, changed_at = now()
  where (c.generation, c.sequence) < (excluded.generation, excluded.sequence)
  returning instance_uuid`;

/** Stores reports and settles who owns what. */
export class ReportStore {
  readonly #database: Database;
  readonly #rules: OwnershipRules;

  constructor(database: Database, rules: OwnershipRules) {
    this.#database = database;
    this.#rules = rules;
  }

  /**
   * Replaces everything the host had said, at once; rows that do not change are not written. `remembered` are instances
   * that the caller believes to be on the host: they are part of the answer, wherever they are now.
   */
  applySnapshot(report: SnapshotReport, remembered: readonly string[]): Promise<ReportResult> {
    return this.#database.transaction(async (querier) => {
      const mark = await lockHost(querier, report.host);
      if (mark?.generation !== report.generation) return { outcome: "superseded", instances: [] };
      const stale = isBefore(report, mark);
      const touched = stale ? [] : await this.#replace(querier, report);
      const values = [report.host, [...remembered, ...touched]];
      const rows = await querier.query<InstanceRow>({ text: READ_CONCERNED, values });
      return { outcome: stale ? "stale" : "applied", instances: rows.map(instanceFromRow) };
    });
  }

  /** Stores one change, unless a newer event of that domain or a snapshot at or after its number is already there. */
  applyEvent(report: EventReport): Promise<ReportResult> {
    return this.#database.transaction(async (querier) => {
      const mark = await lockHost(querier, report.host);
      if (mark?.generation !== report.generation) return { outcome: "superseded", instances: [] };
      const applied = !isCovered(report, mark) && (await claimOne(querier, report));
      if (applied) await settle(querier, [report.domain.uuid], this.#rules);
      const instances = await readInstances(querier, [report.domain.uuid]);
      return { outcome: applied ? "applied" : "stale", instances };
    });
  }

  /** Returns the instances that had to be settled. */
  async #replace(querier: Querier, report: SnapshotReport): Promise<readonly string[]> {
    const domains = new Map(report.domains.map((domain) => [domain.uuid, domain]));
    const touched = new Set<string>();
    const collect = (rows: readonly { instance_uuid: string }[]): void => {
      for (const row of rows) touched.add(row.instance_uuid);
    };
    const place = [report.host, report.generation, report.sequence];
    for (const batch of batches([...domains.values()].sort(byUuid))) {
      const records = JSON.stringify(batch.map(claimRecord));
      collect(await querier.query({ name: "claims-all", text: CLAIM_ALL, values: [...place, records] }));
    }
    for (const batch of batches(await absent(querier, place, domains))) {
      await querier.query({ text: DROP, values: [report.host, batch] });
      for (const uuid of batch) touched.add(uuid);
    }
    collect(await querier.query({ text: UNSETTLED, values: [report.host] }));
    for (const batch of batches([...touched].sort())) await settle(querier, batch, this.#rules);
    await querier.query({ text: MARK_SNAPSHOT, values: place });
    return [...touched];
  }
}

/** The claims that a snapshot puts an end to. Compared here and not in SQL, where the plan could be quadratic. */
async function absent(
  querier: Querier,
  place: readonly unknown[],
  present: ReadonlyMap<string, unknown>,
): Promise<readonly string[]> {
  const rows = await querier.query<{ instance_uuid: string; gone: boolean }>({ text: COVERED, values: place });
  return rows.filter((row) => row.gone || !present.has(row.instance_uuid)).map((row) => row.instance_uuid);
}

async function lockHost(querier: Querier, host: string): Promise<HostMark | undefined> {
  const [mark] = await querier.query<HostMark>({ name: "hosts-lock", text: LOCK_HOST, values: [host] });
  return mark;
}

/** A snapshot with the number of the last one is as good: nothing that has a number lies between them. */
function isBefore(report: SnapshotReport, mark: HostMark): boolean {
  return report.generation === mark.snapshot_generation && report.sequence < mark.snapshot_sequence;
}

/** A snapshot that carries the event's number was read after the event. */
function isCovered(report: EventReport, mark: HostMark): boolean {
  return report.generation === mark.snapshot_generation && report.sequence <= mark.snapshot_sequence;
}

async function claimOne(querier: Querier, report: EventReport): Promise<boolean> {
  const { host, generation, sequence, domain } = report;
  const record = claimRecord(domain);
  const gone = isGone(report);
  const values = [host, generation, sequence, domain.uuid, record.power_state, record.displays, record.domain_name];
  const owner = [record.owner_name, record.owner_project_id, record.owner_user_id];
  const text = CLAIM_ONE;
  return (await querier.query({ name: "claims-one", text, values: [...values, ...owner, gone] })).length > 0;
}

/**
 * True where an event means that the host has the domain no more. A transient domain is gone with its end, and libvirt
 * says only that it stopped: then the agent cannot describe it any more.
 */
function isGone({ kind, domain }: Pick<EventReport, "kind" | "domain">): boolean {
  if (kind === "undefined") return true;
  const ended = kind === "stopped" || kind === "crashed" || kind === "migrated";
  return ended && domain.powerState === "unknown";
}

function claimRecord(domain: ReportedDomain) {
  return {
    uuid: domain.uuid,
    power_state: domain.powerState,
    displays: domain.displays,
    domain_name: domain.name,
    owner_name: domain.owner?.name ?? "",
    owner_project_id: domain.owner?.projectId ?? "",
    owner_user_id: domain.owner?.userId ?? "",
  };
}

function byUuid(a: ReportedDomain, b: ReportedDomain): number {
  return a.uuid < b.uuid ? -1 : 1;
}

function* batches<T>(items: readonly T[]): Generator<readonly T[]> {
  for (let at = 0; at < items.length; at += SNAPSHOT_BATCH) yield items.slice(at, at + SNAPSHOT_BATCH);
}
