// SPDX-License-Identifier: Apache-2.0
// Looks at everything that might leak, again and again.
import pg from "pg";
import { pause } from "../../src/lib/deadline.js";
import { parseMetrics, readMetrics } from "../bench/controller-figures.js";
import { rssMiB } from "../bench/process-usage.js";
import { openDescriptors } from "../harness/process-facts.js";
import { liveHeapMiB } from "./live-heap.js";
import type { SoakController, SoakProgram, SoakStage } from "./soak-stage.js";
import type { Bound, Sample } from "./trend.js";

/** Something that is looked at, and how fast it may grow. */
export interface Watched {
  readonly name: string;
  readonly bound: Bound;
  /** Memory: what counts is what garbage collection leaves. */
  readonly floor: boolean;
  readonly samples: Sample[];
}

/** All figures of one moment, by name. */
export type Look = ReadonlyMap<string, number>;

interface Kind {
  readonly bound: Bound;
  readonly floor: boolean;
}

const EVERY_MS = 5_000;
const STATEMENT_MS = 5_000;

// Of a program that is never restarted. What a leak of one KiB or one descriptor a console would add in an hour is far more.
const PROCESS_KINDS: Readonly<Record<string, Kind>> = {
  RSS: { bound: { perHour: 24, noise: 12 }, floor: true },
  heap: { bound: { perHour: 4, noise: 2 }, floor: true },
  descriptors: { bound: { perHour: 12, noise: 10 }, floor: true },
};

const ROW_BOUND: Bound = { perHour: 30, noise: 15 };

// What has to be bounded however long it runs; the history of sessions, channels and audit is kept on purpose.
const ROWS: Readonly<Record<string, string>> = {
  "open sessions": "select count(*) from console_sessions where ended_at is null",
  "open channels": "select count(*) from session_channels where closed_at is null",
  "channels without a session": `select count(*) from session_channels c join console_sessions s using (session_id)
    where c.closed_at is null and s.ended_at < now() - interval '30 s'`,
  "tokens long expired": `select count(*) from console_auth_tokens
    where expires < extract(epoch from now() - interval '60 s')`,
  tokens: "select count(*) from console_auth_tokens",
  // Those of a controller that was killed stay for an hour, in which they mean nothing.
  "agent streams": `select count(*) from agent_streams s join controllers k using (controller_id)
    where k.heartbeat_at > now() - interval '20 s'`,
  "agent streams of the long dead": `select count(*) from agent_streams s join controllers k using (controller_id)
    where k.heartbeat_at < now() - interval '65 min'`,
  instances: "select count(*) from instances",
  "gone claims": "select count(*) from domain_claims where gone",
  "connections to Postgres": "select count(*) from pg_stat_activity where backend_type = 'client backend'",
};

const GAUGES: Readonly<Record<string, string>> = {
  "sessions in memory": "spicegate_sessions_open",
  "agents in memory": "spicegate_agents_connected",
  "instances in memory": "spicegate_instances",
  "active handles": "nodejs_active_handles_total",
};

/** The looks at a stage. `stop` ends them; twice is harmless. */
export class Sampler {
  readonly #stage: SoakStage;
  readonly #watched = new Map<string, Watched>();
  readonly #stopping = new AbortController();
  readonly #began = performance.now();
  #running: Promise<void> | undefined;

  constructor(stage: SoakStage) {
    this.#stage = stage;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  /** Seconds since it was made. */
  get elapsedS(): number {
    return (performance.now() - this.#began) / 1_000;
  }

  /** All series so far. */
  get watched(): readonly Watched[] {
    return [...this.#watched.values()];
  }

  /** Looks once, without remembering it. What cannot be seen now is missing. */
  async look(): Promise<Look> {
    const [controller] = this.#stage.controllers;
    const [agent] = this.#stage.agents;
    const parts = await Promise.all([
      ...[controller, agent].flatMap((program) => (program ? [lookAtProgram(program)] : [])),
      ...(controller ? [lookAtGauges(controller)] : []),
      lookAtRows(this.#stage.postgres.url),
    ]);
    return new Map(parts.flatMap((part) => [...part]));
  }

  async #run(): Promise<void> {
    while (await pause(EVERY_MS, this.#stopping.signal)) {
      const at = this.elapsedS;
      for (const [name, value] of await this.look()) this.#remember(name, { at, value });
    }
  }

  #remember(name: string, sample: Sample): void {
    const known = this.#watched.get(name);
    if (known) return void known.samples.push(sample);
    const kind = Object.entries(PROCESS_KINDS).find(([word]) => name.includes(`: ${word}`))?.[1];
    const { bound, floor } = kind ?? { bound: ROW_BOUND, floor: false };
    this.#watched.set(name, { name, bound, floor, samples: [sample] });
  }
}

type Figures = readonly (readonly [name: string, value: number])[];

async function lookAtProgram({ name, program, inspector }: SoakProgram): Promise<Figures> {
  const descriptors = openDescriptors(program.pid);
  const heap = await liveHeapMiB(inspector).catch(() => undefined);
  return [
    [`${name}: RSS MiB`, rssMiB(program.pid)],
    [`${name}: descriptors`, descriptors],
    ...(heap === undefined ? [] : [[`${name}: heap MiB`, heap] as const]),
  ];
}

async function lookAtGauges({ name, telemetry }: SoakController): Promise<Figures> {
  const metrics = await metricsOrNone(telemetry);
  return Object.entries(GAUGES).flatMap(([what, metric]) => {
    const value = metrics.get(metric);
    return value === undefined ? [] : [[`${name}: ${what}`, value] as const];
  });
}

/** None while Postgres is away. */
async function lookAtRows(url: string): Promise<Figures> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: STATEMENT_MS });
  // Its server may be killed in the middle of it.
  client.on("error", () => undefined);
  try {
    await client.connect();
    const columns = Object.entries(ROWS).map(([name, count]) => `(${count})::integer as "${name}"`);
    const text = `select ${columns.join(", ")}`;
    const { rows } = await client.query<Record<string, number>>({
      text,
      query_timeout: STATEMENT_MS,
    } as pg.QueryConfig);
    return Object.entries(rows[0] ?? {}).map(([name, value]) => [`rows: ${name}`, value]);
  } catch {
    return [];
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function metricsOrNone(telemetry: string): Promise<ReadonlyMap<string, number>> {
  try {
    return await readMetrics(telemetry);
  } catch {
    return parseMetrics("");
  }
}
