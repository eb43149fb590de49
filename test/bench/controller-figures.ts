// SPDX-License-Identifier: Apache-2.0
const ANSWER_MS = 10_000;

/** What a controller tells of itself at its telemetry address, by sample name with its labels. Throws where it is not there. */
export async function readMetrics(telemetry: string): Promise<ReadonlyMap<string, number>> {
  const response = await fetch(`http://${telemetry}/metrics`, { signal: AbortSignal.timeout(ANSWER_MS) });
  return parseMetrics(await response.text());
}

/** The samples of a text in Prometheus' format. */
export function parseMetrics(text: string): ReadonlyMap<string, number> {
  const samples = new Map<string, number>();
  for (const line of text.split("\n")) {
    const space = line.lastIndexOf(" ");
    if (line.startsWith("#") || space < 0) continue;
    samples.set(line.slice(0, space), Number(line.slice(space + 1)));
  }
  return samples;
}

/** How many agents are connected, and how many of their snapshots have been applied so far. */
export function agentsAndSnapshots(metrics: ReadonlyMap<string, number>): { agents: number; snapshots: number } {
  const applied = metrics.get('spicegate_reports_total{kind="snapshot",outcome="applied"}');
  return { agents: metrics.get("spicegate_agents_connected") ?? 0, snapshots: applied ?? 0 };
}
