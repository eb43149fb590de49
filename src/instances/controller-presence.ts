// SPDX-License-Identifier: Apache-2.0
import { isDeepStrictEqual } from "node:util";
import type { Notifications } from "../db/notifications.js";
import type { Database } from "../db/pool.js";
import type { Clock } from "../lib/clock.js";
import { systemClock } from "../lib/clock.js";
import { IntervalLoop } from "../lib/interval-loop.js";
import type { Part } from "../lib/lifecycle.js";
import {
  CONTROLLER_LEASE_MS,
  HEARTBEAT_INTERVAL_MS,
  HEARTBEATS_PER_SYNC,
  MAX_PEERS,
  STREAM_SETTLES_MS,
} from "../lib/limits.js";
import type { Log } from "../lib/log.js";
import { CONTROLLERS_CHANNEL } from "./announcements.js";
import type { HostStream } from "./host.js";

/** A living controller that agents can reach. */
export interface Peer {
  readonly controllerId: string;
  /** host:port of its agent listener. */
  readonly address: string;
}

/** What the presence of a controller needs. */
export interface ControllerPresenceOptions {
  readonly database: Database;
  readonly log: Log;
  readonly controllerId: string;
  /** host:port at which agents reach this controller; asked for at start. */
  readonly advertise: () => string;
  /** The agents' streams that live in this process. */
  readonly streams: () => readonly HostStream[];
  /** How it hears at once of controllers that come and go; the next beat finds them anyway. */
  readonly notifications?: Pick<Notifications, "on" | "onHearing"> | undefined;
  readonly clock?: Clock;
}

// The rows are those of before the statement: this controller's own is added.
const BEAT = `
  with beat as (
    insert into controllers (controller_id, advertise) values ($1::text, $2::text)
    on conflict on constraint controllers_pkey do update set advertise = excluded.advertise, heartbeat_at = now()
  )
  select controller_id as "controllerId", advertise as address from controllers
  where controller_id <> $1::text and advertise is not null and heartbeat_at > now() - $3::integer * interval '1 ms'
  union all select $1::text, $2::text
  order by "controllerId" limit $4::integer`;

const ANNOUNCE = `select pg_notify('${CONTROLLERS_CHANNEL}', $1::text)`;

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

const LEAVE = `
  with gone as (delete from controllers where controller_id = $1::text returning controller_id)
  select pg_notify('${CONTROLLERS_CHANNEL}', controller_id) from gone`;

/**
 * Tells the other controllers that this one lives, every 5 s, and now and then which agents it has: a host whose only
 * streams belong to dead controllers is down. Each beat also tells this one which others live. After an orderly stop
 * nothing of it is left.
 */
export class ControllerPresence implements Part {
  readonly #options: ControllerPresenceOptions;
  readonly #clock: Clock;
  readonly #loop: IntervalLoop;
  readonly #listeners = new Set<(peers: readonly Peer[]) => void>();
  #unsubscribe: readonly ((() => unknown) | undefined)[] = [];
  #peers: readonly Peer[] = [];
  /** Since when another one that lives has had the same address, and whether that has been said. */
  #namesakeSince: number | undefined;
  #namesakeSaid = false;
  /** Beats follow each other, so that the older of two answers is not the last. */
  #beats: Promise<void> = Promise.resolve();
  #beatCount = 0;

  constructor(options: ControllerPresenceOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#loop = new IntervalLoop({ ms: HEARTBEAT_INTERVAL_MS, run: () => this.#beatIfReady(), clock: this.#clock });
  }

  /** Begins to beat, at once wherever Postgres comes back. */
  start(): void {
    const { database, controllerId, notifications } = this.#options;
    const onOther = (id: string): void => void (id === controllerId || this.#beat(false));
    this.#unsubscribe = [
      database.onReady(() => void this.#arrive()),
      notifications?.onHearing(() => void this.#beat(false)),
      notifications?.on(CONTROLLERS_CHANNEL, onOther),
    ];
    this.#loop.start();
  }

  /** Takes the controller and its streams out of Postgres, where that is possible. Twice is harmless. */
  async stop(): Promise<void> {
    if (this.#loop.stopping.aborted) return;
    for (const unsubscribe of this.#unsubscribe) unsubscribe?.();
    await this.#loop.stop();
    await this.#beats;
    await this.#attempt(() => this.#options.database.query({ text: LEAVE, values: [this.#options.controllerId] }));
  }

  /** The living controllers with this one, by id; while Postgres is away those it named last. */
  peers(): readonly Peer[] {
    return this.#peers;
  }

  /** Calls back each time that a controller has come or gone. Returns the way to stop it. */
  onPeers(listener: (peers: readonly Peer[]) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async #beatIfReady(): Promise<void> {
    this.#beatCount += 1;
    if (this.#options.database.isReady()) await this.#beat(this.#beatCount % HEARTBEATS_PER_SYNC === 0);
  }

  /** The others need not wait for their next beat. */
  async #arrive(): Promise<void> {
    await this.#beat(true);
    const values = [this.#options.controllerId];
    await this.#attempt(() => this.#options.database.query({ text: ANNOUNCE, values }));
  }

  #beat(sync: boolean): Promise<void> {
    const { database, controllerId, advertise } = this.#options;
    this.#beats = this.#beats.then(() =>
      this.#attempt(async () => {
        const values = [controllerId, advertise(), CONTROLLER_LEASE_MS, MAX_PEERS];
        const peers = await database.query<Peer>({ name: "controllers-beat", text: BEAT, values });
        this.#take(peers);
        this.#noteNamesake(peers);
        if (sync) await this.#sync();
      }),
    );
    return this.#beats;
  }

  #take(peers: readonly Peer[]): void {
    if (this.#loop.stopping.aborted || isDeepStrictEqual(peers, this.#peers)) return;
    this.#peers = peers;
    this.#options.log.info({ controllers: peers.map(({ address }) => address) }, "controllers that live");
    for (const listener of this.#listeners) listener(peers);
  }

  /** A former run of this controller counts as living no longer than a lease; longer than that it is another one. */
  #noteNamesake(peers: readonly Peer[]): void {
    const { controllerId, log } = this.#options;
    const address = peers.find((peer) => peer.controllerId === controllerId)?.address;
    const others = peers.filter((peer) => peer.address === address && peer.controllerId !== controllerId);
    const now = this.#clock.now();
    this.#namesakeSince = others.length > 0 ? (this.#namesakeSince ?? now) : undefined;
    const lasts = this.#namesakeSince !== undefined && now - this.#namesakeSince > CONTROLLER_LEASE_MS;
    if (lasts && !this.#namesakeSaid) log.warn({ address }, "another controller says that agents reach it here");
    this.#namesakeSaid = lasts;
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
