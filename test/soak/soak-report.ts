// SPDX-License-Identifier: Apache-2.0
import { markdownTable } from "../bench/markdown-table.js";
import type { Look, Watched } from "./sampler.js";
import type { Tally } from "./tally.js";
import type { Trend } from "./trend.js";
import { afterWarmUp, floors, judgeTrend } from "./trend.js";

/** All that a soak has seen. */
export interface SoakFindings {
  readonly minutes: number;
  /** How long the first part was that does not count. */
  readonly warmUpS: number;
  readonly watched: readonly Watched[];
  readonly tally: Tally;
  /** Before anybody came, and after everybody had left. */
  readonly before: Look;
  readonly after: Look;
}

/** A figure at rest, and what it may be. */
export interface RestVerdict {
  readonly name: string;
  readonly before: number;
  readonly after: number;
  readonly kept: boolean;
}

const WINDOWS = 16;
/** What may be open at rest that was not before: connections that were made when they were first needed. */
const DESCRIPTORS_AT_REST = 12;

/** The trend of each series. */
export function trendsOf({ watched, warmUpS }: SoakFindings): readonly { name: string; trend: Trend; bound: string }[] {
  return watched.map(({ name, samples, bound, floor }) => {
    const counted = afterWarmUp(samples, warmUpS);
    const trend = judgeTrend(floor ? floors(counted, WINDOWS) : counted, bound);
    return { name, trend, bound: `≤ ${bound.perHour}` };
  });
}

/** What is left of all that was opened: nothing may be, but for a few descriptors and what memory was needed once. */
export function restVerdicts({ before, after }: SoakFindings): readonly RestVerdict[] {
  return [...after].flatMap(([name, value]) => {
    if (/: (RSS|heap|active handles)|connections to|gone claims/.test(name)) return [];
    const first = before.get(name) ?? 0;
    const most = name.includes("descriptors") ? first + DESCRIPTORS_AT_REST : first;
    return [{ name, before: first, after: value, kept: value <= most }];
  });
}

/** Whether nothing leaked and everything was answered. */
export function isClean(findings: SoakFindings): boolean {
  const { unanswered } = findings.tally;
  const leaks = trendsOf(findings).some(({ trend }) => trend.leaks);
  return unanswered.length === 0 && !leaks && restVerdicts(findings).every(({ kept }) => kept);
}

/** The report, in Markdown. */
export function soakReport(findings: SoakFindings): string {
  const { minutes, warmUpS, tally } = findings;
  return [
    `# Soak of ${minutes.toFixed(1)} minutes: ${isClean(findings) ? "clean" : "NOT CLEAN"}`,
    `Slopes are least squares over what came after the first ${warmUpS.toFixed(0)} s; of memory and descriptors the lowest value of each of ${WINDOWS} spans counts. A series leaks where its slope, less its uncertainty, is over the bound and its rise is more than noise.`,
    "## Trends",
    trendTable(findings),
    "## At rest",
    restTable(findings),
    "## What was done",
    tallyTable(tally),
    ...(tally.unanswered.length > 0
      ? ["## Not answered", ...tally.unanswered.map((line) => `- ${line.replaceAll("\n", " ")}`)]
      : []),
  ].join("\n\n");
}

function trendTable(findings: SoakFindings): string {
  const rows = trendsOf(findings).map(({ name, bound, trend: { line, leaks } }) => [
    name,
    line.from.toFixed(1),
    line.to.toFixed(1),
    line.slope.toFixed(1),
    `± ${line.uncertainty.toFixed(1)}`,
    bound,
    leaks ? "LEAKS" : "flat",
  ]);
  return markdownTable(["series", "from", "to", "an hour", "", "bound", ""], rows);
}

function restTable(findings: SoakFindings): string {
  const rows = restVerdicts(findings).map(({ name, before, after, kept }) => [
    name,
    before,
    after,
    kept ? "as before" : "LEFT OVER",
  ]);
  return markdownTable(["what", "before", "after", ""], rows);
}

function tallyTable(tally: Tally): string {
  const rows = [...tally.counts].flatMap(([what, outcomes]) =>
    [...outcomes].map(([outcome, count]) => [what, outcome, count]),
  );
  return markdownTable(["what", "how", "times"], rows);
}
