// SPDX-License-Identifier: Apache-2.0
import type { Querier } from "../db/connection.js";
import { NAME_KEYS, pageSize, pageStart } from "../db/page-token.js";
import type { PageRequest } from "../db/page-token.js";
import type { Database } from "../db/pool.js";
import { CONTROLLER_LEASE_MS, PURGE_BATCH } from "../lib/limits.js";
import { announceChanged } from "./announcements.js";
import type { HostHello, HostStream, HypervisorReport } from "./host.js";
import type { Instance } from "./instance.js";
import { readInstances, settle } from "./ownership.js";
import type { OwnershipRules } from "./ownership.js";

// One generation per (host, process): whoever comes first counts up, the same process again does not. The row of a
// controller is its heartbeat's business; here it only must exist.
const WELCOME = `
  with present as (
    insert into controllers (controller_id) values ($1::text) on conflict on constraint controllers_pkey do nothing
  ), welcomed as (
    insert into hosts as h (host, process_id, agent_version, libvirt_version, hypervisor_version,
      hypervisor_available, hypervisor_detail, spice, vnc, graphics_fd)
    values ($2::text, $3::text, $4::text, $5::text, $6::text, $7::boolean, $8::text, $9::boolean, $10::boolean,
      $11::boolean)
    on conflict on constraint hosts_pkey do update set
      generation = case when h.process_id = excluded.process_id then h.generation else h.generation + 1 end,
      process_id = excluded.process_id, agent_version = excluded.agent_version,
      libvirt_version = excluded.libvirt_version, hypervisor_version = excluded.hypervisor_version,
      hypervisor_available = excluded.hypervisor_available, hypervisor_detail = excluded.hypervisor_detail,
      spice = excluded.spice, vnc = excluded.vnc, graphics_fd = excluded.graphics_fd, last_seen_at = now()
    returning host, generation
  )
  insert into agent_streams as s (host, controller_id, generation) select host, $1::text, generation from welcomed
  on conflict on constraint agent_streams_pkey do update set
    stream_id = nextval('agent_stream_ids'), generation = excluded.generation, connected_at = now()
  returning s.host, s.stream_id as "streamId", s.generation`;

const HYPERVISOR = `
  update hosts set libvirt_version = $3::text, hypervisor_version = $4::text, hypervisor_available = $5::boolean,
    hypervisor_detail = $6::text, spice = $7::boolean, vnc = $8::boolean, graphics_fd = $9::boolean,
    last_seen_at = now()
  where host = $1::text and generation = $2::bigint`;

const DISCONNECT = `delete from agent_streams where stream_id = $1::bigint`;

const CONFLICTS = `
  select instance_uuid from instances
  where host = $1::text and conflict_host is not null and deleted_at is null limit $2::integer`;

const LIST = `
  select h.host, h.generation, h.agent_version, h.libvirt_version, h.hypervisor_version, h.hypervisor_available,
    h.hypervisor_detail, h.spice, h.vnc, h.graphics_fd, h.last_seen_at,
    (select count(*)::integer from instances i where i.host = h.host and i.deleted_at is null) as instance_count,
    (select count(*)::integer from agent_streams s join controllers k on k.controller_id = s.controller_id
      where s.host = h.host and k.heartbeat_at > now() - $3::integer * interval '1 ms') as connected_controllers
  from hosts h where h.host > $1::text order by h.host limit $2::integer`;

/** A host as stored, without what only a controller's memory knows. */
export interface StoredHost {
  readonly host: string;
  readonly generation: bigint;
  readonly agentVersion: string;
  readonly hypervisor: HypervisorReport;
  readonly instanceCount: number;
  /** How many living controllers its agent has a stream to. */
  readonly connectedControllers: number;
  readonly lastSeenAt: Date;
}

/** Hosts and the streams of their agents. */
export class HostStore {
  readonly #database: Database;
  readonly #rules: OwnershipRules;

  constructor(database: Database, rules: OwnershipRules) {
    this.#database = database;
    this.#rules = rules;
  }

  /** Lets an agent in: from here on its host is up. */
  async welcome(controllerId: string, hello: HostHello): Promise<HostStream> {
    const known = [controllerId, hello.host, hello.processId, hello.agentVersion];
    const values = [...known, ...hypervisorValues(hello.hypervisor)];
    const [stream] = await this.#database.query<HostStream>({ name: "hosts-welcome", text: WELCOME, values });
    if (!stream) throw new Error("the upsert of a host returned no row");
    return stream;
  }

  /** Ends a stream, and lets others have what the host had in dispute. Returns the instances concerned. */
  disconnect(stream: HostStream): Promise<readonly Instance[]> {
    return this.#database.transaction(async (querier) => {
      await querier.query({ text: DISCONNECT, values: [stream.streamId] });
      const rows = await querier.query<{ instance_uuid: string }>({
        text: CONFLICTS,
        values: [stream.host, PURGE_BATCH],
      });
      const uuids = rows.map((row) => row.instance_uuid);
      await settle(querier, uuids, this.#rules);
      await announceChanged(querier, uuids);
      return readInstances(querier, uuids);
    });
  }

  /** Stores what an agent says of its hypervisor, unless another process speaks for the host by now. */
  async setHypervisor(stream: HostStream, report: HypervisorReport): Promise<void> {
    const values = [stream.host, stream.generation, ...hypervisorValues(report)];
    await this.#database.query({ text: HYPERVISOR, values });
  }

  /** The names of all hosts that have ever connected. */
  async names(): Promise<readonly string[]> {
    const rows = await this.#database.query<{ host: string }>({ text: "select host from hosts" });
    return rows.map((row) => row.host);
  }

  /** Up to one host more than a page has, by name. */
  async list(page: PageRequest): Promise<readonly StoredHost[]> {
    const values = [pageStart(page, {}, NAME_KEYS) ?? "", pageSize(page) + 1, CONTROLLER_LEASE_MS];
    const rows = await this.#database.query<HostRow>({ text: LIST, values });
    return rows.map(storedHostFromRow);
  }
}

interface HostRow {
  readonly host: string;
  readonly generation: bigint;
  readonly agent_version: string;
  readonly libvirt_version: string;
  readonly hypervisor_version: string;
  readonly hypervisor_available: boolean;
  readonly hypervisor_detail: string;
  readonly spice: boolean;
  readonly vnc: boolean;
  readonly graphics_fd: boolean;
  readonly last_seen_at: Date;
  readonly instance_count: number;
  readonly connected_controllers: number;
}

function storedHostFromRow(row: HostRow): StoredHost {
  const hypervisor: HypervisorReport = {
    available: row.hypervisor_available,
    libvirtVersion: row.libvirt_version,
    hypervisorVersion: row.hypervisor_version,
    detail: row.hypervisor_detail,
    spice: row.spice,
    vnc: row.vnc,
    graphicsFd: row.graphics_fd,
  };
  const { host, generation, agent_version: agentVersion } = row;
  return {
    host,
    generation,
    agentVersion,
    hypervisor,
    instanceCount: row.instance_count,
    connectedControllers: row.connected_controllers,
    lastSeenAt: row.last_seen_at,
  };
}

function hypervisorValues(report: HypervisorReport): readonly unknown[] {
  const { libvirtVersion, hypervisorVersion, available, detail, spice, vnc, graphicsFd } = report;
  return [libvirtVersion, hypervisorVersion, available, detail, spice, vnc, graphicsFd];
}

/** Settles disputes over a host's instances whose outcome has become another without any report. */
export async function settleDisputes(
  querier: Querier,
  limit: number,
  rules: OwnershipRules,
): Promise<readonly Instance[]> {
  const rows = await querier.query<{ instance_uuid: string }>({ text: DISPUTES, values: [limit] });
  const uuids = rows.map((row) => row.instance_uuid);
  await settle(querier, uuids, rules);
  await announceChanged(querier, uuids);
  return readInstances(querier, uuids);
}

const DISPUTES = `
  select instance_uuid from instances where conflict_host is not null and deleted_at is null limit $1::integer`;
