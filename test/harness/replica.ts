// SPDX-License-Identifier: Apache-2.0
import { Notifications } from "../../src/db/notifications.js";
import { Database } from "../../src/db/pool.js";
import { CONTROLLERS_CHANNEL, INSTANCES_CHANNEL } from "../../src/instances/announcements.js";
import { ControllerPresence } from "../../src/instances/controller-presence.js";
import type { InstanceRegistry } from "../../src/instances/instance-registry.js";
import { DB_RECONNECT_BACKOFF } from "../../src/lib/limits.js";
import { silentLog } from "../../src/lib/log.js";
import { FakeClock } from "../fakes/fake-clock.js";
import { registryOn } from "./inventory.js";
import { runStatement } from "./test-database.js";
import { until } from "./within.js";

/**
 * What one of several controllers knows of the others: its own way to Postgres, its registry and its presence. Its
 * clocks stand still, so that it hears by NOTIFY or not at all.
 */
export class Replica {
  readonly controllerId: string;
  readonly registry: InstanceRegistry;
  readonly presence: ControllerPresence;
  /** Moves the waits before it connects again. */
  readonly hearingClock = new FakeClock();
  /** Moves its beats. */
  readonly beatClock = new FakeClock();
  /** The instances that it was told are deleted. */
  readonly deleted: string[] = [];
  readonly #database: Database;
  readonly #notifications: Notifications;

  constructor(url: string, controllerId: string) {
    this.controllerId = controllerId;
    const log = silentLog;
    const database = new Database({ url, log });
    const channels = [INSTANCES_CHANNEL, CONTROLLERS_CHANNEL];
    const notifications = new Notifications({ url, channels, log, clock: this.hearingClock });
    const registry = registryOn(database, { controllerId, notifications });
    registry.onChange(({ uuid, kind }) => kind === "deleted" && this.deleted.push(uuid));
    const advertise = (): string => `${controllerId}:1`;
    const streams = (): ReturnType<InstanceRegistry["streams"]> => registry.streams();
    const clock = this.beatClock;
    this.presence = new ControllerPresence({ database, log, controllerId, advertise, streams, notifications, clock });
    this.registry = registry;
    this.#database = database;
    this.#notifications = notifications;
  }

  /** Returns when it knows what there is, and hears of what changes. */
  async start(): Promise<void> {
    await this.#database.start();
    this.#notifications.start();
    this.registry.start();
    this.presence.start();
    await this.hears();
  }

  /** Whether it would answer from memory. */
  get isCurrent(): boolean {
    try {
      void this.registry.watch(() => false, new AbortController().signal);
      return true;
    } catch {
      return false;
    }
  }

  hears(): Promise<void> {
    return until("a replica that knows everything", () => this.isCurrent);
  }

  /** Ends the time of deafness: connects, and reads what it missed. */
  async hearsAgain(): Promise<void> {
    const passing = setInterval(() => this.hearingClock.advance(DB_RECONNECT_BACKOFF.mostMs), 5);
    await this.hears().finally(() => clearInterval(passing));
  }

  async stop(): Promise<void> {
    await this.presence.stop();
    await this.registry.stop();
    await this.#notifications.stop();
    await this.#database.stop();
  }
}

/** Cuts the listening connections of all programs on a database; replicas make no other before they are told to. */
export async function deafen(url: string, replicas: readonly Replica[]): Promise<void> {
  await runStatement(
    url,
    `select pg_terminate_backend(pid) from pg_stat_activity
     where datname = current_database() and application_name = 'spicegate notifications'`,
  );
  await until("the loss", () => replicas.every(({ isCurrent }) => !isCurrent));
}
