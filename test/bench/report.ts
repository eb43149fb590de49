// SPDX-License-Identifier: Apache-2.0
import type { Findings, Memory } from "./findings.js";
import { judge, pairsOf } from "./findings.js";
import type { FirstByte } from "./first-byte.js";
import type { Cells } from "./markdown-table.js";
import { markdownTable } from "./markdown-table.js";
import type { Round, Series } from "./measurement.js";
import { middle, PROCESSES, ratio } from "./measurement.js";
import { scaleTable } from "./scale-report.js";
import type { DataPath } from "./viewer-measurement.js";
import { rateOf } from "./viewer-measurement.js";

/** The findings as tables in Markdown, which are as readable on a terminal. */
export function tables(findings: Findings): string {
  return [
    "## Budgets",
    budgetTable(findings),
    "## Latency and throughput",
    latencyTable(findings),
    "## Beside the bare path",
    ratioTable(findings),
    "## CPU time per call",
    cpuTable(findings),
    "## Memory",
    memoryTable(findings),
    "## Opening a console",
    openingTable(findings.firstByte),
    "## Data path",
    transferTable(findings.dataPath),
    "## Many hosts",
    scaleTable(findings.scale),
  ].join("\n\n");
}

function budgetTable(findings: Findings): string {
  const rows = judge(findings).map(({ what, budget, found, kept }) => [what, budget, found, kept ? "kept" : "MISSED"]);
  return markdownTable(["what", "budget", "found", ""], rows);
}

function latencyTable({ series, hostDown }: Findings): string {
  const rows = series.map((one) => [
    one.subject.name,
    one.subject.callers,
    ...[p50, p95, p99].map((figure) => middle(one, figure).toFixed(2)),
    middle(one, perSecond).toFixed(0),
  ]);
  const { count, elapsedMs, ...down } = hostDown;
  const refusals = [down.p50, down.p95, down.p99].map((value) => value.toFixed(2));
  rows.push(["refused: host is down", 1, ...refusals, ((count * 1_000) / elapsedMs).toFixed(0)]);
  return markdownTable(["", "callers", "p50 ms", "p95 ms", "p99 ms", "a second"], rows);
}

function ratioTable(findings: Findings): string {
  const rows = pairsOf(findings).map(({ product, bare }) => [
    product.subject.name,
    product.subject.callers,
    ...[p50, p95, p99, perSecond, cpu].map((figure) => ratio(product, bare, figure).toFixed(2)),
  ]);
  return markdownTable(["ours : bare path", "callers", "p50", "p95", "p99", "a second", "CPU per call"], rows);
}

function cpuTable({ series }: Findings): string {
  const rows = series.filter(({ rounds }) => rounds[0]?.cpuMs !== undefined).map(cpuRow);
  return markdownTable(["CPU ms per call", "callers", ...PROCESSES, "together"], rows);
}

function cpuRow(one: Series): Cells {
  const each = PROCESSES.map((name) => middle(one, (round) => round.cpuMs?.[name] ?? 0).toFixed(2));
  return [one.subject.name, one.subject.callers, ...each, middle(one, cpu).toFixed(2)];
}

function memoryTable({ idle, loaded, bareLoaded }: Findings): string {
  const row = (name: string, memory: Memory): Cells => [
    name,
    ...PROCESSES.map((process) => memory[process].toFixed(0)),
  ];
  const rows = [row("idle", idle), row("after the load", loaded), row("bare path after the load", bareLoaded)];
  return markdownTable(["MiB", ...PROCESSES], rows);
}

function openingTable({ p50, p95, serverP50, connectsPerSecond, serverPerSecond, firstPixelsMs }: FirstByte): string {
  return markdownTable(
    ["", "found"],
    [
      ["redeem to first SPICE byte, p50 ms", p50.toFixed(1)],
      ["redeem to first SPICE byte, p95 ms", p95.toFixed(1)],
      ["the SPICE server's own part, p50 ms", serverP50.toFixed(1)],
      ["redeemed and connected a second, eight at once", connectsPerSecond.toFixed(0)],
      ["the SPICE servers alone, connected a second, eight at once", serverPerSecond.toFixed(0)],
      ["URL to first pixels in Chromium, ms", firstPixelsMs.toFixed(0)],
    ],
  );
}

/** Bytes a second of each way. */
export function transferTable({ transfers }: DataPath): string {
  const rate = (way: string, direction: string, channels: number): string => {
    const found = transfers.find((one) => one.way === way && one.direction === direction && one.channels === channels);
    return found ? rateOf(found).toFixed(0) : "";
  };
  const ways = [...new Set(transfers.map(({ way }) => way))];
  const rows = ways.map((way) => [
    way,
    rate(way, "down", 1),
    rate(way, "down", 8),
    rate(way, "up", 1),
    rate(way, "up", 8),
  ]);
  return markdownTable(["MB/s", "down, 1", "down, 8", "up, 1", "up, 8"], rows);
}

const p50 = (round: Round): number => round.p50;
const p95 = (round: Round): number => round.p95;
const p99 = (round: Round): number => round.p99;
const perSecond = (round: Round): number => round.perSecond;
const cpu = ({ cpuMs }: Round): number => PROCESSES.reduce((sum, name) => sum + (cpuMs?.[name] ?? 0), 0);
