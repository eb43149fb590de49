// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import type { Scale, ScaleFindings } from "../../bench/scale-measurement.js";
import { judgeScale, scaleTable } from "../../bench/scale-report.js";

function load(p50: number, p99: number): Scale["latency"]["few"][number] {
  return { count: 1, failure: "", elapsedMs: 1_000, p50, p95: p99, p99 };
}

function findings(kibPerHost: number): ScaleFindings {
  const latency = { few: [load(1, 2), load(3, 4), load(5, 6)], many: [load(10, 20), load(30, 40), load(50, 60)] };
  const recovery = { firstS: 1, halfS: 2, lastS: 3, agentsS: 4, snapshotsS: 5, readyS: 6 };
  const scale = { hosts: 1_000, domainsEach: 4, added: 1_000, connectS: 7, appliedS: 8, kibPerHost, latency, recovery };
  return { fewHosts: 10, scales: [scale], bigHost: { domains: 10_000, newS: 1.25, knownS: 0.5 } };
}

describe("judgeScale", () => {
  it("keeps hosts to 64 KiB each", () => {
    expect(judgeScale(findings(64)).map(({ kept }) => kept)).to.deep.equal([true]);
    expect(judgeScale(findings(64.1)).map(({ kept }) => kept)).to.deep.equal([false]);
  });
});

describe("scaleTable", () => {
  it("shows the medians of the rounds with many hosts and with few", () => {
    const rows = scaleTable(findings(50)).split("\n");
    const cells = (name: string): string[] =>
      rows.filter((row) => row.includes(name)).map((row) => row.split("|").at(-2)?.trim() ?? "");
    expect(cells("p50 ms")).to.deep.equal(["30.00"]);
    expect(cells("p99 ms")).to.deep.equal(["40.00"]);
    expect(cells("the same with 10 hosts")).to.deep.equal(["3.00", "4.00"]);
    expect(rows.at(-1)).to.match(/10000 domains: 1\.3 s .* 0\.5 s/);
  });
});
