// SPDX-License-Identifier: Apache-2.0
// Settings files, as people spoil them.
import { expect } from "chai";
import fc from "fast-check";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse, stringify } from "yaml";
import { agentSchema, loadAgentConfig } from "../../agent/agent-config.js";
import { controllerSchema, loadControllerConfig } from "../../src/config/controller-config.js";
import { ConfigError, formatSettings, listSettings } from "../../src/config/load-config.js";
import { NOVA_OPTIONS } from "../../src/config/nova-options.js";
import { setAt } from "../../src/config/settings-tree.js";
import type { FuzzTarget } from "./fuzz-target.js";
import { spoiltText, wordSalad } from "./mutations.js";
import { inTime, outcomeOf } from "./outcome.js";

const MOST_MS = 1_000;
const PASSWORD = "Pa55w0rd";
const DATABASE = `postgres://spicegate:${PASSWORD}@127.0.0.1/spicegate`;
const SETTINGS = [...listSettings(controllerSchema), ...listSettings(agentSchema)];
const NAMES = [...SETTINGS, ...NOVA_OPTIONS].map(({ name }) => name);
const WORDS = [
  ...[
    "api:",
    "database:",
    " url: ",
    DATABASE,
    "listen",
    ": ",
    "\n",
    "  ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    ",",
    "&a ",
    "*a",
    "<<: *a",
  ],
  ...[
    "!!binary ",
    "!!js/function ",
    "|",
    ">",
    "'",
    '"',
    "#",
    "---\n",
    "...",
    "?",
    "%YAML 9.9",
    "~",
    "__proto__",
    "constructor",
  ],
];

const folder = mkdtempSync(join(tmpdir(), "spicegate-fuzz-"));
const file = join(folder, "config.yaml");

const value = fc.oneof(
  fc.jsonValue({ maxDepth: 2 }),
  fc.constantFrom("127.0.0.1:1", "0.0.0.0:1", "http://a/b", "https://a.example", "10.0.0.0/8", "/dev/null", "/"),
  fc.constantFrom(0, -1, 1.5, 1e308, 60, true, "60", [], {}, ["a"], "auto", "direct"),
);
const settings = fc.array(fc.tuple(fc.constantFrom(...NAMES), value), { maxLength: 6 });
const tree = settings.map((chosen) => {
  const all = { database: { url: DATABASE } };
  for (const [name, given] of chosen) {
    // A section that is already a value cannot have options too.
    outcomeOf(
      () => setAt(all, name, given),
      (error) => error instanceof TypeError,
    );
  }
  return stringify(all, { aliasDuplicateObjects: false });
});
const sample = `${readFileSync("packaging/controller.sample.yaml", "utf8")}\ndatabase:\n  url: ${DATABASE}\n`;
const text = fc.oneof(
  { weight: 4, arbitrary: tree },
  { weight: 2, arbitrary: wordSalad(WORDS) },
  { weight: 2, arbitrary: spoiltText(fc.constantFrom(sample, sample.replace(/^# ?/gm, ""))) },
  { weight: 2, arbitrary: spoiltText(tree) },
);
const variable = fc.oneof(
  fc.constantFrom(...SETTINGS).map(({ env }) => env),
  fc.string({ maxLength: 12 }).map((name) => `SPICEGATE_${name.replaceAll("\0", "")}`),
);
const env = fc.dictionary(variable, fc.oneof(fc.string(), fc.constantFrom("127.0.0.1:1", "true", "[", "{a: 1}")), {
  maxKeys: 3,
});

/** The password in a name's place is a name, and names of settings are told. */
function hasPasswordInName(yaml: string): boolean {
  let found = false;
  const look = (name: string, inside: unknown): unknown => {
    found ||= name.includes(PASSWORD);
    return inside;
  };
  outcomeOf(
    () => JSON.stringify(parse(yaml, { logLevel: "silent" }), look),
    () => true,
  );
  return found;
}

/** Settings, or a ConfigError that names each problem; neither tells the database's password. */
export const target: FuzzTarget = {
  runs: 150,
  property: fc.property(text, env, (yaml, environment) => {
    writeFileSync(file, yaml);
    const source = { file, env: environment };
    const isConfigError = (error: unknown): boolean => error instanceof ConfigError && error.problems.length > 0;
    const controller = inTime(MOST_MS, () => outcomeOf(() => loadControllerConfig(source), isConfigError));
    const agent = inTime(MOST_MS, () => outcomeOf(() => loadAgentConfig(source), isConfigError));
    for (const [outcome, schema] of [[controller, controllerSchema] as const, [agent, agentSchema] as const]) {
      const told = outcome.ok ? formatSettings(schema, outcome.value) : outcome.message;
      if (!hasPasswordInName(yaml)) expect(told).to.not.include(PASSWORD);
    }
  }),
  stop: () => rm(folder, { recursive: true }),
};
