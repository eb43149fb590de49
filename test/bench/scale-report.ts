// SPDX-License-Identifier: Apache-2.0
import type { LoadResult } from "./load.js";
import { markdownTable } from "./markdown-table.js";
import type { LatencyPair, Scale, ScaleFindings } from "./scale-measurement.js";
import { median } from "./statistics.js";
import type { Verdict } from "./verdict.js";

const MOST_KIB_PER_HOST = 64;

/** Compares what was found about many hosts with what was promised. */
export function judgeScale({ scales }: ScaleFindings): Verdict[] {
  return scales.map(({ hosts, domainsEach, kibPerHost }) => ({
    what: `memory of the controller for each of ${hosts} idle hosts of ${domainsEach} domains`,
    budget: `≤ ${MOST_KIB_PER_HOST} KiB`,
    found: `${kibPerHost.toFixed(0)} KiB`,
    kept: kibPerHost <= MOST_KIB_PER_HOST,
  }));
}

/** What grows with the number of hosts, one column for each number. */
export function scaleTable({ scales, fewHosts, bigHost }: ScaleFindings): string {
  const row = (what: string, cell: (scale: Scale) => string): string[] => [what, ...scales.map(cell)];
  const figure = (of: keyof LatencyPair, name: "p50" | "p99") => (scale: Scale) => middle(scale.latency[of], name);
  const table = markdownTable(
    ["hosts", ...scales.map(({ hosts }) => hosts)],
    [
      row("hosts added at once", ({ added }) => String(added)),
      row("until all were connected, s", ({ connectS }) => connectS.toFixed(1)),
      row("until all inventories were stored, s", ({ appliedS }) => appliedS.toFixed(1)),
      row("memory for a host, KiB", ({ kibPerHost }) => kibPerHost.toFixed(0)),
      row("GetSpiceConsole, 8 callers, p50 ms", figure("many", "p50")),
      row(`the same with ${fewHosts} hosts`, figure("few", "p50")),
      row("GetSpiceConsole, 8 callers, p99 ms", figure("many", "p99")),
      row(`the same with ${fewHosts} hosts`, figure("few", "p99")),
      row("kill -9: until the first of 20 random hosts had a console, s", ({ recovery }) => recovery.firstS.toFixed(1)),
      row("kill -9: until half of them had", ({ recovery }) => recovery.halfS.toFixed(1)),
      row("kill -9: until all of them had", ({ recovery }) => recovery.lastS.toFixed(1)),
      row("kill -9: until it said that it was ready", ({ recovery }) => recovery.readyS.toFixed(1)),
      row("kill -9: until all hosts were connected", ({ recovery }) => recovery.agentsS.toFixed(1)),
      row("kill -9: until all inventories were compared", ({ recovery }) => recovery.snapshotsS.toFixed(1)),
    ],
  );
  const { domains, newS, knownS } = bigHost;
  const big = `One host with ${domains} domains: ${newS.toFixed(1)} s from its start until all were stored; ${knownS.toFixed(1)} s where all were known.`;
  return `${table}\n\n${big}`;
}

function middle(results: readonly LoadResult[], name: "p50" | "p99"): string {
  return median(results.map((result) => result[name])).toFixed(2);
}
