// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Registry } from "prom-client";
import { parse } from "yaml";
import { createAgentMetrics } from "../../../agent/agent-metrics.js";
import { PROJECT_FOLDER } from "../../../demo/spicegate-programs.js";
import { createControllerMetrics } from "../../../src/telemetry/controller-metrics.js";
import { createRegistry } from "../../../src/telemetry/metrics.js";

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly runbook: string };
}

interface Panel {
  readonly id: number;
  readonly title: string;
  readonly type: string;
  readonly gridPos: Readonly<Record<"x" | "y" | "w" | "h", number>>;
  readonly targets?: readonly { readonly expr: string }[];
}

const METRIC = /\b(?:spicegate|process|nodejs)_[a-z0-9_]*[a-z0-9]/g;
const RUNBOOKS = "docs/operations/monitoring.md";

const read = (file: string): string => readFileSync(join(PROJECT_FOLDER, file), "utf8");
const { groups } = parse(read("packaging/prometheus/spicegate.rules.yaml")) as { groups: { rules: Rule[] }[] };
const rules = groups.flatMap((group) => group.rules);
const dashboard = JSON.parse(read("packaging/grafana/spicegate.json")) as { panels: Panel[] };
const panels = dashboard.panels.filter(({ type }) => type !== "row");
const runbooks = read(RUNBOOKS);

/** Every series that a program shows, with the labels that were declared for it. */
async function seriesOf(...registries: Registry[]): Promise<Map<string, ReadonlySet<string>>> {
  const series = new Map<string, ReadonlySet<string>>();
  for (const registry of registries) {
    for (const { name, type } of await registry.getMetricsAsJSON()) {
      const { labelNames = [] } = registry.getSingleMetric(name) as { labelNames?: readonly string[] };
      const suffixes = String(type) === "histogram" ? ["_bucket", "_count", "_sum"] : [""];
      for (const suffix of suffixes) series.set(name + suffix, new Set(labelNames));
    }
  }
  return series;
}

/** The selectors of an expression: the metric and the labels it is asked by. */
function selectorsOf(expr: string): { readonly metric: string; readonly labels: readonly string[] }[] {
  return [...expr.matchAll(/\b((?:spicegate|process|nodejs)_[a-z0-9_]+)(?:\{([^}]*)\})?/g)].map((match) => ({
    metric: match[1] ?? "",
    labels: [...(match[2] ?? "").matchAll(/([a-z_]+)\s*(?:=~|!~|!=|=)/g)].map(([, label = ""]) => label),
  }));
}

describe("what Prometheus and Grafana are given", () => {
  let series: Map<string, ReadonlySet<string>>;
  before(async () => {
    const [controller, agent] = [createRegistry(), createRegistry()];
    createControllerMetrics(controller);
    createAgentMetrics(agent);
    series = await seriesOf(controller, agent);
  });

  /** The labels of an expression are the metric's own, or those that Prometheus gives to every series. */
  function expectKnown(where: string, expr: string): void {
    for (const { metric, labels } of selectorsOf(expr)) {
      const known = series.get(metric);
      expect([...series.keys()], where).to.include(metric);
      expect([...(known ?? []), "job", "instance", "le"], `${where}: ${metric}`).to.include.members(labels);
    }
  }

  it("asks only for metrics and labels that the programs have, in alerts and in the dashboard", () => {
    expect(panels.flatMap(({ targets = [] }) => targets)).to.have.length.above(20);
    for (const { alert, expr } of rules) expectKnown(alert, expr);
    for (const { title, targets = [] } of panels) for (const { expr } of targets) expectKnown(title, expr);
  });

  it("names only metrics that exist in the handbook", () => {
    const names = new Set(runbooks.match(METRIC));
    const plain = [...series.keys()].map((name) => name.replace(/_(bucket|count|sum)$/, ""));
    expect(names).to.have.property("size").above(10);
    expect([...series.keys(), ...plain]).to.include.members([...names]);
  });

  it("has a runbook for each alert, and each alert once", () => {
    const headings = [...runbooks.matchAll(/^### (\w+)$/gm)].map(([, heading = ""]) => heading);
    expect(headings).to.have.members(rules.map(({ alert }) => alert));
    for (const { alert, annotations, labels } of rules) {
      expect(annotations.runbook, alert).to.equal(`${RUNBOOKS}#${alert.toLowerCase()}`);
      expect(["critical", "warning"], alert).to.include(labels.severity);
    }
  });

  it("draws panels that have ids of their own and do not lie on each other", () => {
    const ids = dashboard.panels.map(({ id }) => id);
    expect(new Set(ids)).to.have.property("size", ids.length);
    const cells = dashboard.panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, cell) => `${x + (cell % w)}:${y + Math.floor(cell / w)}`),
    );
    expect(new Set(cells)).to.have.property("size", cells.length);
  });
});
