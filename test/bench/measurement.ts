// SPDX-License-Identifier: Apache-2.0
// Short rounds of everything, again and again in turn, so that whatever else the machine does meets all alike.
import type { Progress } from "../../demo/progress.js";
import type { LoadResult, LoadTarget } from "./load.js";
import { Load } from "./load.js";
import { cpuMs } from "./process-usage.js";
import { median } from "./statistics.js";
import type { Surroundings } from "./surroundings.js";

/** The processes behind a console. */
export const PROCESSES = ["controller", "agent", "libvirtd", "postgres"] as const;
export type ProcessName = (typeof PROCESSES)[number];

/** One thing that is measured with one number of callers. */
export interface Subject {
  /** What people call it. */
  readonly name: string;
  readonly callers: number;
  readonly target: LoadTarget;
  readonly ms: number;
  /** Whose CPU time is counted. */
  readonly pids?: Readonly<Record<ProcessName, number>>;
}

/** One round: what came of the load, and the CPU time of each process per call, in milliseconds. */
export interface Round extends LoadResult {
  readonly perSecond: number;
  readonly cpuMs?: Readonly<Record<ProcessName, number>>;
}

/** All rounds of a subject, in order: the same place in two lists is a pair. */
export interface Series {
  readonly subject: Subject;
  readonly rounds: readonly Round[];
}

const PAIRS = 5;
const CONSOLE_MS = 2_000;
const FLOOR_MS = 700;
/** The compiler has seen enough after so many calls, or nearly so after so many rounds; many callers take other ways than one. */
const WARM_UP = { calls: 5_000, rounds: 8, ms: 1_000, callers: [32, 1] };

/** What is compared: the product with the bare path at each number of callers, beside the floors below them. */
export function subjectsOf(surroundings: Surroundings): Subject[] {
  const { addresses, uuids, libvirtUri: uri, bareDatabaseUrl: url } = surroundings;
  const uuid = uuids[0] ?? "";
  const paths = [
    { path: "GetSpiceConsole", address: addresses.product, pids: surroundings.pids("product") },
    { path: "bare path", address: addresses.bare, pids: surroundings.pids("bare") },
  ];
  const loads = [
    { callers: 1, over: uuids },
    { callers: 8, over: uuids },
    { callers: 32, over: uuids },
    { callers: 32, over: [uuid] },
  ];
  const consoles = loads.flatMap(({ callers, over }) =>
    paths.map(({ path, address, pids }) => {
      const target = { kind: "console", address, uuids: over } as const;
      return { name: over.length > 1 ? path : `${path}, one machine`, callers, target, ms: CONSOLE_MS, pids };
    }),
  );
  const floors = [
    { name: "bare echo", target: { kind: "console", address: addresses.echo, uuids } },
    { name: "bare libvirt", target: { kind: "libvirt", uri, uuid } },
    { name: "bare insert", target: { kind: "insert", url, uuid } },
  ] as const;
  return [...consoles, ...floors.flatMap((floor) => [1, 32].map((callers) => ({ ...floor, callers, ms: FLOOR_MS })))];
}

/** Measures all subjects in turn, forwards and backwards. */
export async function measure(subjects: readonly Subject[], progress: Progress): Promise<Series[]> {
  const loads = new Map<string, Load>();
  try {
    for (const { target } of subjects) await addLoad(loads, target);
    progress("warming up");
    for (const load of loads.values()) await warmUp(load);
    const series = subjects.map((subject) => ({ subject, rounds: [] as Round[] }));
    for (let pair = 1; pair <= PAIRS; pair += 1) {
      progress(`round ${pair} of ${PAIRS}`);
      for (const { subject, rounds } of pair % 2 === 1 ? series : series.toReversed()) {
        rounds.push(await measureOnce(subject, loads));
      }
    }
    return series;
  } finally {
    await Promise.all([...loads.values()].map((load) => load.stop()));
  }
}

/** The median of a figure over the rounds. */
export function middle({ rounds }: Series, figure: (round: Round) => number): number {
  return median(rounds.map(figure));
}

/** The median over the pairs of one series' figure divided by another's. */
export function ratio(of: Series, to: Series, figure: (round: Round) => number): number {
  return median(of.rounds.map((round, index) => figure(round) / figure(to.rounds[index] ?? round)));
}

async function addLoad(loads: Map<string, Load>, target: LoadTarget): Promise<void> {
  if (loads.has(JSON.stringify(target))) return;
  const load = new Load(target);
  await load.start();
  loads.set(JSON.stringify(target), load);
}

async function warmUp(load: Load): Promise<void> {
  for (const callers of WARM_UP.callers) {
    let calls = 0;
    for (let round = 0; round < WARM_UP.rounds && calls < WARM_UP.calls; round += 1) {
      calls += (await load.run({ callers, ms: WARM_UP.ms })).count;
    }
  }
}

async function measureOnce(subject: Subject, loads: ReadonlyMap<string, Load>): Promise<Round> {
  const load = loads.get(JSON.stringify(subject.target));
  if (!load) throw new Error("no load process");
  const { callers, ms, pids } = subject;
  const before = pids && cpuOf(pids);
  const result = await load.run({ callers, ms });
  const perSecond = (result.count * 1_000) / result.elapsedMs;
  if (!before) return { ...result, perSecond };
  const after = cpuOf(pids);
  const perCall = (name: ProcessName): number => (after[name] - before[name]) / result.count;
  return { ...result, perSecond, cpuMs: mapProcesses(perCall) };
}

function cpuOf(pids: Readonly<Record<ProcessName, number>>): Record<ProcessName, number> {
  return mapProcesses((name) => cpuMs(pids[name]));
}

function mapProcesses(value: (name: ProcessName) => number): Record<ProcessName, number> {
  return Object.fromEntries(PROCESSES.map((name) => [name, value(name)])) as Record<ProcessName, number>;
}
