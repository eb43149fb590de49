// SPDX-License-Identifier: Apache-2.0
import type { Database } from "../db/pool.js";
import type { Part } from "../lib/lifecycle.js";
import { FAULTS_PER_INSTANCE, MAX_PENDING_FAULTS } from "../lib/limits.js";
import type { Log } from "../lib/log.js";
import type { InstanceFault, RecordedFault } from "./instance.js";

// The row just added is not yet visible to the delete: of the older ones one less than the limit stays.
const RECORD = `
  with added as (
    insert into instance_faults (instance_uuid, reason, message, host, request_id)
    select instance_uuid, $2::text, $3::text, $4::text, $5::text from instances where instance_uuid = $1::uuid
  )
  delete from instance_faults where instance_uuid = $1::uuid and fault_id not in (
    select fault_id from instance_faults where instance_uuid = $1::uuid order by fault_id desc limit $6::integer
  )`;

const READ = `
  select instance_uuid as "instanceUuid", occurred_at as "occurredAt", reason, message, host,
    request_id as "requestId"
  from instance_faults where instance_uuid = $1::uuid order by fault_id desc limit $2::integer`;

/** Keeps the last faults of each instance. Nobody waits for it; while the database is away faults are dropped. */
export class FaultRecorder implements Part {
  readonly #database: Database;
  readonly #log: Log;
  readonly #pending: InstanceFault[] = [];
  #writing: Promise<void> | undefined;
  #stopped = false;

  constructor(database: Database, log: Log) {
    this.#database = database;
    this.#log = log;
  }

  /** Nothing to do: it works when there is something to record. */
  start(): void {
    this.#stopped = false;
  }

  /** Drops what waits, and waits for the row that is being written. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#pending.length = 0;
    await this.#writing;
  }

  /** Records a fault in the background; dropped where too many wait or the instance is unknown. */
  record(fault: InstanceFault): void {
    if (this.#stopped || !this.#database.isReady() || this.#pending.length >= MAX_PENDING_FAULTS) return;
    this.#pending.push(fault);
    this.#writing ??= this.#writeAll();
  }

  /** Resolves when everything recorded so far is written or dropped. */
  async idle(): Promise<void> {
    await this.#writing;
  }

  /** The last faults of an instance, newest first. */
  read(instanceUuid: string): Promise<readonly RecordedFault[]> {
    return this.#database.query<RecordedFault>({ text: READ, values: [instanceUuid, FAULTS_PER_INSTANCE] });
  }

  async #writeAll(): Promise<void> {
    for (let fault = this.#pending.shift(); fault; fault = this.#pending.shift()) {
      const { instanceUuid, reason, message, host, requestId } = fault;
      const values = [instanceUuid, reason, message, host, requestId, FAULTS_PER_INSTANCE - 1];
      try {
        await this.#database.query({ text: RECORD, values });
      } catch (error) {
        this.#log.debug({ err: error }, "a fault was not recorded");
      }
    }
    this.#writing = undefined;
  }
}
