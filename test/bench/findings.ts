// SPDX-License-Identifier: Apache-2.0
import type { FirstByte } from "./first-byte.js";
import type { LoadResult } from "./load.js";
import type { ProcessName, Round, Series } from "./measurement.js";
import { middle, ratio } from "./measurement.js";
import type { ScaleFindings } from "./scale-measurement.js";
import { judgeScale } from "./scale-report.js";
import type { DataPath, Transfer } from "./viewer-measurement.js";
import type { Verdict } from "./verdict.js";
import { rateOf, rateRatio } from "./viewer-measurement.js";
import type { Way } from "./viewer-surroundings.js";

/** The memory of each process, in MiB. */
export type Memory = Readonly<Record<ProcessName, number>>;

/** All that a run of the benchmark found out. */
export interface Findings {
  readonly series: readonly Series[];
  /** Refusals from the moment on at which the host's agent was killed. */
  readonly hostDown: LoadResult;
  /** Before the first call, after the last one, and the bare path's after its last one. */
  readonly idle: Memory;
  readonly loaded: Memory;
  readonly bareLoaded: Memory;
  readonly firstByte: FirstByte;
  readonly dataPath: DataPath;
  readonly scale: ScaleFindings;
}

/** The product and the bare path under the same load. */
export interface Pair {
  readonly product: Series;
  readonly bare: Series;
}

const MOST_P50_RATIO = 1.3;
const LEAST_THROUGHPUT_RATIO = 0.8;
const MOST_REFUSAL_MS = 10;
const MOST_IDLE_MIB = 300;
const MOST_FIRST_BYTE_MS = 20;
const LEAST_CONNECTS = 120;
const LEAST_OF_RELAYS = 0.6;
const NOVA_MB_PER_SECOND = { down: 1_130, up: 120 } as const;
const MOST_KIB_PER_CHANNEL = 200;

/** Product and bare path side by side, one pair for each load. */
export function pairsOf({ series }: Findings): Pair[] {
  return series.flatMap((product) => {
    if (!product.subject.name.startsWith("GetSpiceConsole")) return [];
    const name = product.subject.name.replace("GetSpiceConsole", "bare path");
    const { callers } = product.subject;
    const bare = series.find(({ subject }) => subject.name === name && subject.callers === callers);
    return bare ? [{ product, bare }] : [];
  });
}

/** Compares what was found with what was promised. */
export function judge(findings: Findings): Verdict[] {
  const { hostDown, idle } = findings;
  const pairs = pairsOf(findings);
  const mib = idle.controller + idle.agent;
  return [
    ...pairs.filter(({ product }) => product.subject.callers === 1).map(judgeLatency),
    ...pairs.filter(({ product }) => product.subject.callers === 32).map(judgeThroughput),
    {
      what: "a host that is down, p99",
      budget: `≤ ${MOST_REFUSAL_MS} ms`,
      found: `${hostDown.p99.toFixed(2)} ms`,
      kept: hostDown.p99 <= MOST_REFUSAL_MS,
    },
    {
      what: "memory of controller and agent, idle",
      budget: `≤ ${MOST_IDLE_MIB} MiB`,
      found: `${mib.toFixed(0)} MiB`,
      kept: mib <= MOST_IDLE_MIB,
    },
    ...judgeFirstByte(findings.firstByte),
    ...findings.dataPath.transfers.flatMap((transfer) => judgeTransfer(transfer, findings.dataPath)),
    {
      what: "memory of an open, idle channel, controller and agent",
      budget: `≤ ${MOST_KIB_PER_CHANNEL} KiB`,
      found: `${findings.dataPath.kibPerChannel.toFixed(0)} KiB`,
      kept: findings.dataPath.kibPerChannel <= MOST_KIB_PER_CHANNEL,
    },
    ...judgeScale(findings.scale),
  ];
}

function judgeFirstByte({ p50, serverP50, connectsPerSecond, serverPerSecond }: FirstByte): Verdict[] {
  return [
    {
      what: "redeem to first SPICE byte, p50",
      budget: `≤ ${MOST_FIRST_BYTE_MS} ms over the SPICE server's own`,
      found: `${(p50 - serverP50).toFixed(1)} ms over its ${serverP50.toFixed(1)} ms`,
      kept: p50 - serverP50 <= MOST_FIRST_BYTE_MS,
    },
    {
      what: "consoles redeemed and connected a second",
      budget: `≥ ${LEAST_CONNECTS}`,
      found: `${connectsPerSecond.toFixed(0)}, where the SPICE servers alone take ${serverPerSecond.toFixed(0)}`,
      kept: connectsPerSecond >= LEAST_CONNECTS,
    },
  ];
}

/** The product's ways, each beside what it is compared with. */
function judgeTransfer(own: Transfer, { transfers }: DataPath): Verdict[] {
  const beside = (way: Way): Transfer | undefined =>
    transfers.find(
      (other) => other.way === way && other.direction === own.direction && other.channels === own.channels,
    );
  if (own.way === "direct") return judgeDirect(own, beside("websockify"));
  return own.way === "tunnel" ? [...judgeTunnel(own, beside("two relays")), ...judgeBesideNova(own)] : [];
}

function judgeDirect(own: Transfer, websockify: Transfer | undefined): Verdict[] {
  if (!websockify) return [];
  const ratio = rateRatio(own, websockify);
  return [
    {
      what: nameOf(own),
      budget: "ahead of websockify",
      found: `${ratio.toFixed(2)} × (${rateOf(own).toFixed(0)} to ${rateOf(websockify).toFixed(0)} MB/s)`,
      kept: ratio > 1,
    },
  ];
}

function judgeTunnel(own: Transfer, relays: Transfer | undefined): Verdict[] {
  if (!relays) return [];
  const part = rateRatio(own, relays);
  return [
    {
      what: nameOf(own),
      budget: `≥ ${LEAST_OF_RELAYS * 100} % of two bare TCP relays`,
      found: `${(part * 100).toFixed(0)} % (${rateOf(own).toFixed(0)} to ${rateOf(relays).toFixed(0)} MB/s)`,
      kept: part >= LEAST_OF_RELAYS,
    },
  ];
}

/** Nova's figures are of one connection. */
function judgeBesideNova(own: Transfer): Verdict[] {
  if (own.channels > 1) return [];
  const nova = NOVA_MB_PER_SECOND[own.direction];
  return [
    {
      what: nameOf(own),
      budget: `ahead of Nova's proxy (≤ ${nova} MB/s seen)`,
      found: `${rateOf(own).toFixed(0)} MB/s`,
      kept: rateOf(own) >= nova,
    },
  ];
}

function nameOf({ way, direction, channels }: Transfer): string {
  return `${way}, ${direction}, ${channels === 1 ? "one channel" : `${channels} channels`}`;
}

function judgeLatency({ product, bare }: Pair): Verdict {
  const figure = (round: Round): number => round.p50;
  const found = ratio(product, bare, figure);
  return {
    what: `${product.subject.name}, one caller, p50`,
    budget: `≤ ${MOST_P50_RATIO} × the bare path's`,
    found: `${found.toFixed(2)} × (${middle(product, figure).toFixed(2)} ms to ${middle(bare, figure).toFixed(2)} ms)`,
    kept: found <= MOST_P50_RATIO,
  };
}

function judgeThroughput({ product, bare }: Pair): Verdict {
  const figure = (round: Round): number => round.perSecond;
  const found = ratio(product, bare, figure);
  return {
    what: `${product.subject.name}, 32 callers, calls a second`,
    budget: `≥ ${LEAST_THROUGHPUT_RATIO * 100} % of the bare path's`,
    found: `${(found * 100).toFixed(0)} % (${middle(product, figure).toFixed(0)} to ${middle(bare, figure).toFixed(0)})`,
    kept: found >= LEAST_THROUGHPUT_RATIO,
  };
}
