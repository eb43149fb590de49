// SPDX-License-Identifier: Apache-2.0
// What a controller needs for its hosts, how fast it answers among them, and how soon it serves again after kill -9.
import { credentials } from "@grpc/grpc-js";
import { setTimeout as sleep } from "node:timers/promises";
import type { Progress } from "../../demo/progress.js";
import { isReady } from "../../demo/spicegate-programs.js";
import { waitUntil } from "../../demo/wait-until.js";
import { ConsoleServiceClient } from "../../proto/gen/spicegate/console/v1/console.js";
import { callUnary } from "../harness/grpc-client.js";
import { simulatedUuid } from "../harness/simulated-hosts.js";
import { agentsAndSnapshots, readMetrics } from "./controller-figures.js";
import type { Fleet } from "./fleet.js";
import type { LoadResult } from "./load.js";
import { Load } from "./load.js";
import { rssMiB } from "./process-usage.js";
import type { ScaleController, ScaleSurroundings } from "./scale-surroundings.js";
import { median } from "./statistics.js";

/** How soon a killed controller serves again; seconds since its death, it is started again at once. */
export interface Recovery {
  /** Until the first of some random hosts' machines had a console, half of them, and all of them. */
  readonly firstS: number;
  readonly halfS: number;
  readonly lastS: number;
  /** Until all agents were connected, and all their inventories applied. */
  readonly agentsS: number;
  readonly snapshotsS: number;
  /** Until /readyz said so, which does not wait for hosts for ever. */
  readonly readyS: number;
}

/** GetSpiceConsole in rounds that take turns: the same place in two lists is a pair. */
export interface LatencyPair {
  readonly few: readonly LoadResult[];
  readonly many: readonly LoadResult[];
}

/** What was found out about one number of hosts. */
export interface Scale {
  readonly hosts: number;
  readonly domainsEach: number;
  /** From the number before to this one: until all were connected, and all their inventories applied. */
  readonly added: number;
  readonly connectS: number;
  readonly appliedS: number;
  /** The controller's memory for an idle host, its domains included. */
  readonly kibPerHost: number;
  readonly latency: LatencyPair;
  readonly recovery: Recovery;
}

/** All of it. */
export interface ScaleFindings {
  readonly fewHosts: number;
  readonly scales: readonly Scale[];
  /** One host's 10,000 domains, from its start to the inventory applied: all of them new, and all of them known. */
  readonly bigHost: { readonly domains: number; readonly newS: number; readonly knownS: number };
}

/** How many hosts, one after the other. */
export const SCALES: readonly number[] = [1_000, 10_000];
const FEW = 10;
const DOMAINS_EACH = 4;
const PROCESSES = 4;
const BIG_HOST = { number: 50_000, domains: 10_000 };
const PAIRS = 5;
const ROUND = { callers: 8, ms: 1_000 };
const SAMPLE = 500;
const RANDOM_HOSTS = 20;
const PATIENCE_MS = 180_000;
// Each look costs a controller with 10,000 connections some 20 ms.
const POLL_MS = 500;
const SETTLED = { forMs: 6_000, mostMs: 30_000 };
// A client that looks again at once: how long a client of ours waits by itself is not what is measured.
const EAGER = { "grpc.initial_reconnect_backoff_ms": 100, "grpc.max_reconnect_backoff_ms": 200 };

/** Measures it all, with these numbers of hosts; takes some minutes. */
export async function measureScale(
  surroundings: ScaleSurroundings,
  progress: Progress,
  sizes: readonly number[] = SCALES,
): Promise<ScaleFindings> {
  const { few, many } = surroundings;
  const fewFleet = await surroundings.startFleet(few, { processes: 1, domainsEach: DOMAINS_EACH });
  await grow(fewFleet, few, FEW);
  const fleet = await surroundings.startFleet(many, { processes: PROCESSES, domainsEach: DOMAINS_EACH });
  const emptyMiB = await settledMiB(many.program.pid);
  const scales: Scale[] = [];
  for (const size of sizes) scales.push(await measureSize({ surroundings, fleet, size, emptyMiB, progress }));
  await fleet.stop();
  return { fewHosts: FEW, scales, bigHost: await measureBigHost(surroundings, progress) };
}

interface SizeOptions {
  readonly surroundings: ScaleSurroundings;
  readonly fleet: Fleet;
  readonly size: number;
  readonly emptyMiB: number;
  readonly progress: Progress;
}

async function measureSize({ surroundings, fleet, size, emptyMiB, progress }: SizeOptions): Promise<Scale> {
  const { many } = surroundings;
  const added = size - fleet.size;
  progress(`connecting ${added} simulated hosts of ${DOMAINS_EACH} domains`);
  const { connectS, appliedS } = await grow(fleet, many, size);
  progress(`${size} hosts after ${appliedS.toFixed(1)} s; waiting for the controller's memory to settle`);
  const kibPerHost = ((await settledMiB(many.program.pid)) - emptyMiB) * (1_024 / size);
  progress(`${kibPerHost.toFixed(0)} KiB a host; calling beside ${FEW} hosts`);
  const latency = await measureLatency(surroundings, size);
  progress(`killing the controller of ${size} hosts`);
  const recovery = await measureRecovery(many, size);
  progress(`served again after ${recovery.firstS.toFixed(1)} s, all hosts after ${recovery.snapshotsS.toFixed(1)} s`);
  return { hosts: size, domainsEach: DOMAINS_EACH, added, connectS, appliedS, kibPerHost, latency, recovery };
}

async function grow(
  fleet: Fleet,
  controller: ScaleController,
  size: number,
): Promise<{ connectS: number; appliedS: number }> {
  const { snapshots } = agentsAndSnapshots(await readMetrics(controller.telemetry));
  const wanted = { agents: size, snapshots: snapshots + size - fleet.size };
  const since = stopwatch();
  await fleet.growTo(size);
  const { agentsS, snapshotsS } = await seeAgents(controller, wanted, since);
  return { connectS: agentsS, appliedS: snapshotsS };
}

/** Waits until so many agents are connected and so many snapshots applied; says when each came about. */
async function seeAgents(
  { telemetry }: ScaleController,
  wanted: { readonly agents: number; readonly snapshots: number },
  since: () => number,
): Promise<{ agentsS: number; snapshotsS: number }> {
  let agentsS: number | undefined;
  const check = async (): Promise<boolean> => {
    const { agents, snapshots } = agentsAndSnapshots(await metricsOrNone(telemetry));
    if (agents >= wanted.agents) agentsS ??= since();
    await sleep(POLL_MS);
    return agentsS !== undefined && snapshots >= wanted.snapshots;
  };
  await waitUntil(check, {
    ms: PATIENCE_MS,
    what: `${wanted.agents} agents and their ${wanted.snapshots} inventories`,
  });
  return { agentsS: agentsS ?? 0, snapshotsS: since() };
}

async function metricsOrNone(telemetry: string): Promise<ReadonlyMap<string, number>> {
  try {
    return await readMetrics(telemetry);
  } catch {
    return new Map();
  }
}

/** The lowest memory since it last fell: garbage is collected some time after what made it. */
async function settledMiB(pid: number): Promise<number> {
  const since = stopwatch();
  let [lowest, loweredAt] = [rssMiB(pid), 0];
  while (since() * 1_000 < SETTLED.mostMs && (since() - loweredAt) * 1_000 < SETTLED.forMs) {
    await sleep(POLL_MS);
    const now = rssMiB(pid);
    if (now < lowest - 1) [lowest, loweredAt] = [now, since()];
  }
  return lowest;
}

async function measureLatency({ few, many }: ScaleSurroundings, size: number): Promise<LatencyPair> {
  const load = (api: string, hosts: number): Load => new Load({ kind: "console", address: api, uuids: spread(hosts) });
  const [fewLoad, manyLoad] = [load(few.api, FEW), load(many.api, size)];
  const found: { few: LoadResult[]; many: LoadResult[] } = { few: [], many: [] };
  try {
    await Promise.all([fewLoad.start(), manyLoad.start()]);
    for (let pair = 0; pair <= PAIRS; pair += 1) {
      const [fewResult, manyResult] = [await fewLoad.run(ROUND), await manyLoad.run(ROUND)];
      // The first pair warms up.
      if (pair > 0) found.few.push(fewResult);
      if (pair > 0) found.many.push(manyResult);
    }
    return found;
  } finally {
    await Promise.all([fewLoad.stop(), manyLoad.stop()]);
  }
}

/** Machines of hosts all over the fleet. */
function spread(hosts: number): string[] {
  const count = Math.min(hosts, SAMPLE);
  return Array.from({ length: count }, (_, index) => simulatedUuid(Math.floor((index * hosts) / count)));
}

async function measureRecovery(controller: ScaleController, size: number): Promise<Recovery> {
  const { program, telemetry } = controller;
  program.kill("SIGKILL");
  const since = stopwatch();
  const started = program.start();
  const [served, seen, readyS] = await Promise.all([
    serveAgain(controller, size, since),
    seeAgents(controller, { agents: size, snapshots: size }, since),
    started.then(async () => {
      await waitUntil(() => isReady(telemetry), { ms: PATIENCE_MS, what: "the controller to be ready" });
      return since();
    }),
  ]);
  const sorted = served.toSorted((a, b) => a - b);
  return { firstS: sorted[0] ?? 0, halfS: median(sorted), lastS: sorted.at(-1) ?? 0, ...seen, readyS };
}

/** When each of some random hosts' machines had a console again. */
async function serveAgain({ api }: ScaleController, size: number, since: () => number): Promise<number[]> {
  const client = new ConsoleServiceClient(api, credentials.createInsecure(), EAGER);
  const get = client.getSpiceConsole.bind(client);
  const serve = async (): Promise<number> => {
    const request = { instanceUuid: simulatedUuid(Math.floor(Math.random() * size)), consoleType: "" };
    const check = async (): Promise<boolean> => (await callUnary(get, request, { ms: 2_000 })).ok;
    await waitUntil(check, { ms: PATIENCE_MS, what: `a console of ${request.instanceUuid}` });
    return since();
  };
  const served = await Promise.all(Array.from({ length: RANDOM_HOSTS }, serve));
  client.close();
  return served;
}

async function measureBigHost(surroundings: ScaleSurroundings, progress: Progress): Promise<ScaleFindings["bigHost"]> {
  const { number: first, domains } = BIG_HOST;
  progress(`a host with ${domains} domains, twice`);
  const measureOnce = async (): Promise<number> => {
    const fleet = await surroundings.startFleet(surroundings.few, { processes: 1, domainsEach: domains, first });
    const { snapshots } = agentsAndSnapshots(await readMetrics(surroundings.few.telemetry));
    const since = stopwatch();
    await fleet.growTo(1);
    const { snapshotsS } = await seeAgents(surroundings.few, { agents: FEW, snapshots: snapshots + 1 }, since);
    await fleet.stop();
    return snapshotsS;
  };
  return { domains, newS: await measureOnce(), knownS: await measureOnce() };
}

/** Seconds since it was made. */
function stopwatch(): () => number {
  const from = performance.now();
  return () => (performance.now() - from) / 1_000;
}
