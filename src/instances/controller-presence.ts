// SPDX-License-Identifier: Apache-2.0
import type { Database } from "../db/pool.js";
import type { Clock } from "../lib/clock.js";
import { systemClock } from "../lib/clock.js";
import { pause } from "../lib/deadline.js";
import type { Part } from "../lib/lifecycle.js";
import { HEARTBEAT_INTERVAL_MS, HEARTBEATS_PER_SYNC, STREAM_SETTLES_MS } from "../lib/limits.js";
import type { Log } from "../lib/log.js";
import type { HostStream } from "./host.js";

/** What the presence of a controller needs. */
export interface ControllerPresenceOptions {
  readonly database: Database;
  readonly log: Log;
  readonly controllerId: string;
  /** host:port at which agents reach this controller, where others may tell them of it. */
  readonly advertise?: string | undefined;
  /** The agents' streams that live in this process. */
  readonly streams: () => readonly HostStream[];
  readonly clock?: Clock;
}

const BEAT = `
  insert into controllers (controller_id, advertise) values ($1::text, $2::text)
  on conflict on constraint controllers_pkey do update set advertise = excluded.advertise, heartbeat_at = now()`;

// A young row may belong to a Hello that this process has not yet heard the answer to.
const SYNC = `
  with live as (
    select * from unnest($2::bigint[], $3::text[], $4::bigint[]) as l (stream_id, host, generation)
  ), ended as (
    delete from agent_streams s
    where s.controller_id = $1::text and s.connected_at < now() - $5::integer * interval '1 ms'
      and not exists (select from live where live.host = s.host)
  )
  insert into agent_streams (host, controller_id, stream_id, generation)
  select live.host, $1::text, live.stream_id, live.generation from live
  where exists (select from hosts where hosts.host = live.host)
  on conflict do nothing`;

const LEAVE = `delete from controllers where controller_id = $1::text`;

/**
 * Tells the other controllers that this one lives, every 5 s, and now and then which agents it has: a host whose only
 * streams belong to dead controllers is down. After an orderly stop nothing of it is left.
 */
export class ControllerPresence implements Part {
  readonly #options: ControllerPresenceOptions;
  readonly #clock: Clock;
  readonly #stopping = new AbortController();
  #unsubscribe: () => void = () => undefined;
  #loop: Promise<void> | undefined;

  constructor(options: ControllerPresenceOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  /** Begins to beat, at once wherever Postgres comes back. */
  start(): void {
    this.#unsubscribe = this.#options.database.onReady(() => void this.#beat(true));
    this.#loop = this.#run();
  }

  /** Takes the controller and its streams out of Postgres, where that is possible. Twice is harmless. */
  async stop(): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    this.#unsubscribe();
    this.#stopping.abort();
    await this.#loop;
    await this.#attempt(() => this.#options.database.query({ text: LEAVE, values: [this.#options.controllerId] }));
  }

  async #run(): Promise<void> {
    for (let beats = 1; await pause(HEARTBEAT_INTERVAL_MS, this.#stopping.signal, this.#clock); beats += 1) {
      if (this.#options.database.isReady()) await this.#beat(beats % HEARTBEATS_PER_SYNC === 0);
    }
  }

  async #beat(sync: boolean): Promise<void> {
    const { database, controllerId, advertise } = this.#options;
    await this.#attempt(async () => {
      await database.query({ name: "controllers-beat", text: BEAT, values: [controllerId, advertise ?? null] });
      if (sync) await this.#sync();
    });
  }

  async #sync(): Promise<void> {
    const streams = this.#options.streams();
    const ids = streams.map(({ streamId }) => streamId);
    const hosts = streams.map(({ host }) => host);
    const generations = streams.map(({ generation }) => generation);
    const values = [this.#options.controllerId, ids, hosts, generations, STREAM_SETTLES_MS];
    await this.#options.database.query({ text: SYNC, values });
  }

  async #attempt(work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#options.log.debug({ err: error }, "the heartbeat was not recorded");
    }
  }
}
