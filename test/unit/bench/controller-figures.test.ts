// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { agentsAndSnapshots, parseMetrics } from "../../bench/controller-figures.js";

const TEXT = `# HELP spicegate_agents_connected Agents with a live stream.
# TYPE spicegate_agents_connected gauge
spicegate_agents_connected 12
spicegate_reports_total{kind="snapshot",outcome="applied"} 34
spicegate_reports_total{kind="snapshot",outcome="failed"} 5
`;

describe("parseMetrics", () => {
  it("reads samples by their names and labels, and no comments", () => {
    expect([...parseMetrics(TEXT)]).to.deep.equal([
      ["spicegate_agents_connected", 12],
      ['spicegate_reports_total{kind="snapshot",outcome="applied"}', 34],
      ['spicegate_reports_total{kind="snapshot",outcome="failed"}', 5],
    ]);
  });
});

describe("agentsAndSnapshots", () => {
  it("counts applied snapshots only, and nothing where nothing is said", () => {
    expect(agentsAndSnapshots(parseMetrics(TEXT))).to.deep.equal({ agents: 12, snapshots: 34 });
    expect(agentsAndSnapshots(parseMetrics(""))).to.deep.equal({ agents: 0, snapshots: 0 });
  });
});
