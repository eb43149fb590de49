// SPDX-License-Identifier: Apache-2.0
// The direction of dependency, lowest rank first. A folder imports lower ranks only; folders of one rank do not know
// each other. docs/architecture.md says why.
const ranks = [
  ["lib"],
  ["config", "telemetry"],
  ["rpc", "db"],
  ["audit", "http"],
  ["tokens", "instances", "agents", "policy", "sessions", "consoleauth", "identity"],
  ["displays"],
  ["console"],
  ["api", "gateway", "proxy", "cli"],
];

const rankRules = ranks.flatMap((folders, rank) =>
  folders.map((folder) => {
    const allowed = ranks.slice(0, rank).flat().concat(folder);
    return {
      name: `rank-${folder}`,
      comment: `src/${folder} may import only ${allowed.join(", ")} and generated code.`,
      severity: "error",
      from: { path: `^src/${folder}/` },
      to: { path: "^(src|agent|migrations)/", pathNot: `^src/(${allowed.join("|")})/` },
    };
  }),
);

module.exports = {
  forbidden: [
    ...rankRules,
    { name: "no-cycle", severity: "error", from: {}, to: { circular: true } },
    {
      name: "controller-below-main",
      comment: "Only the program constructs the controller, and only the controller its parts.",
      severity: "error",
      from: { path: "^src/", pathNot: "^src/(main|controller|consoleauth-program|use-cases)\\.ts$" },
      to: { path: "^src/(main|controller|consoleauth-program|viewer-parts|caller-parts|host-parts|use-cases)\\.ts$" },
    },
    {
      name: "page-is-alone",
      comment: "The browser page is sent to browsers: it imports nothing of the server.",
      severity: "error",
      from: { path: "^src/page/" },
      to: { pathNot: "^src/page/" },
    },
    {
      name: "nobody-imports-the-page",
      comment: "But its tests and the reference pages, which import what needs no browser.",
      severity: "error",
      from: { pathNot: "^(src/page|test/unit/page|docs)/" },
      to: { path: "^src/page/" },
    },
    {
      name: "src-never-imports-agent",
      severity: "error",
      from: { path: "^src/" },
      to: { path: "^agent/" },
    },
    {
      name: "agent-shares-little",
      comment: "The agent shares lib, the config loader and telemetry with the controller, nothing else.",
      severity: "error",
      from: { path: "^agent/" },
      to: { path: "^src/", pathNot: "^src/(lib/|config/load-config\\.ts$|telemetry/)" },
    },
    {
      name: "agent-has-no-database",
      severity: "error",
      from: { path: "^agent/" },
      to: { path: "node_modules/(pg|kysely|ws|fastify)/" },
    },
    {
      name: "koffi-only-in-the-binding",
      comment: "And in the benchmark's bare floor, which is to have nothing of the binding's.",
      severity: "error",
      from: { pathNot: "^(agent/libvirt|test/bench/bare)/" },
      to: { path: "node_modules/koffi/" },
    },
    {
      name: "nobody-imports-test-or-demo",
      comment: "Tests may import the demo's supervisors.",
      severity: "error",
      from: { pathNot: "^(test|demo)/" },
      to: { path: "^(test|demo)/" },
    },
    {
      name: "demo-does-not-import-test",
      severity: "error",
      from: { path: "^demo/" },
      to: { path: "^test/" },
    },
    {
      name: "no-dev-dependency-in-the-product",
      severity: "error",
      from: { path: "^(src|agent|migrations|proto)/" },
      to: { dependencyTypes: ["npm-dev"], dependencyTypesNot: ["type-only"] },
    },
    { name: "resolvable", severity: "error", from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    includeOnly: undefined,
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["import", "require", "node", "default", "types"],
    },
    reporterOptions: { mermaid: { minify: false } },
  },
};
