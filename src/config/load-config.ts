// SPDX-License-Identifier: Apache-2.0
// One YAML file plus environment variables, checked by one zod schema. The schema is the only list of settings: the
// loader, `check-config` and the generated documentation all walk it. Nova's other names for them, and its options that
// mean nothing here, are in nova-options.ts.
import { distance } from "fastest-levenshtein";
import { readFileSync } from "node:fs";
import { z } from "zod";
import { NOVA_OPTIONS, novaNames } from "./nova-options.js";
import { readYaml } from "./read-yaml.js";
import type { SettingsTree } from "./settings-tree.js";
import { isTree, setAt, valueAt } from "./settings-tree.js";
import type { Translation } from "./translate-nova-options.js";
import { translateNovaOptions } from "./translate-nova-options.js";
import { messageOf } from "../lib/message-of.js";

/** Where settings come from. */
export interface ConfigSource {
  /** Path of the YAML file; absent = defaults and environment only. */
  readonly file?: string | undefined;
  /** The environment; only names that start with SPICEGATE_ are looked at. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** One setting, as documentation and error messages show it. */
export interface Setting {
  /** Dotted name, for example "api.listen". */
  readonly name: string;
  /** Its environment variable, for example "SPICEGATE_API__LISTEN". */
  readonly env: string;
  readonly description: string;
  /** JSON text of the default; undefined = none. */
  readonly default: string | undefined;
  /** True where the value must not be shown. */
  readonly secret: boolean;
  readonly schema: z.ZodType;
}

/** The configuration cannot be used. `problems` has every one of them, a line each. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`the configuration cannot be used:\n${problems.map((problem) => `  - ${problem}`).join("\n")}`);
    this.problems = problems;
  }
}

const ENV_PREFIX = "SPICEGATE_";
// Names with the prefix that are no settings.
const ENV_RESERVED = new Set(["SPICEGATE_CONFIG", "SPICEGATE_API", "SPICEGATE_CACERT", "SPICEGATE_TOKEN"]);

/** Reads, merges (environment wins) and checks. Throws ConfigError with every problem found. */
export function loadConfig<S extends z.ZodObject>(schema: S, source: ConfigSource): z.infer<S> {
  const problems: string[] = [];
  const settings = listSettings(schema);
  const tree = source.file === undefined ? {} : readTree(source.file);
  applyEnvironment(tree, settings, source.env, problems);
  const nova = translateNovaOptions(tree, settings);
  problems.push(...nova.problems);
  const result = schema.safeParse(tree);
  if (!result.success) problems.push(...result.error.issues.flatMap((issue) => describeIssue(issue, settings, nova)));
  if (problems.length > 0 || !result.success) throw new ConfigError(problems);
  return result.data;
}

/** Every setting of a schema, in the order it lists them. */
export function listSettings(schema: z.ZodObject): Setting[] {
  const walk = (node: z.ZodType, path: readonly string[]): Setting[] => {
    const inner = unwrap(node);
    if (inner instanceof z.ZodObject) {
      return Object.entries(inner.shape).flatMap(([key, child]) => walk(child as z.ZodType, [...path, key]));
    }
    const name = path.join(".");
    const fallback = node.safeParse(undefined);
    return [
      {
        name,
        env: envName(name),
        description: node.description ?? "",
        default: fallback.success && fallback.data !== undefined ? JSON.stringify(fallback.data) : undefined,
        secret: node.meta()?.["secret"] === true,
        schema: inner,
      },
    ];
  };
  return walk(schema, []);
}

/** The effective values by dotted name, secrets masked. */
export function effectiveSettings(schema: z.ZodObject, config: unknown): Record<string, unknown> {
  return Object.fromEntries(
    listSettings(schema).map(({ name, secret }) => {
      const value = valueAt(config, name);
      return [name, secret && value !== undefined ? maskSecret(value) : value];
    }),
  );
}

/** The effective values as `check-config` prints them, a line each, with Nova's name where that is another. */
export function formatSettings(schema: z.ZodObject, config: unknown): string {
  const show = (value: unknown): string => (value === undefined ? "(unset)" : JSON.stringify(value));
  const lines = Object.entries(effectiveSettings(schema, config));
  const remark = (names: readonly string[]): string => (names.length > 0 ? `  # Nova: ${names.join(", ")}` : "");
  return lines.map(([name, value]) => `${name}: ${show(value)}${remark(novaNames(name))}\n`).join("");
}

/** A URL keeps everything but its password; any other secret is hidden whole. */
function maskSecret(value: unknown): string {
  if (typeof value !== "string" || !URL.canParse(value)) return "[hidden]";
  const url = new URL(value);
  if (url.password !== "") url.password = "hidden";
  return url.href;
}

function envName(name: string): string {
  return ENV_PREFIX + name.toUpperCase().replaceAll(".", "__");
}

function unwrap(node: z.ZodType): z.ZodType {
  if (node instanceof z.ZodDefault || node instanceof z.ZodOptional || node instanceof z.ZodPrefault) {
    return unwrap(node.unwrap() as z.ZodType);
  }
  return node;
}

function readTree(file: string): SettingsTree {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new ConfigError([`cannot read ${file}: ${messageOf(error)}`]);
  }
  let tree: unknown;
  try {
    tree = readYaml(text);
  } catch (error) {
    throw new ConfigError([`${file} is not valid YAML: ${messageOf(error)}`]);
  }
  if (tree === null || tree === undefined) return {};
  if (!isTree(tree)) throw new ConfigError([`${file} must hold sections such as "api:", not a list or a single value`]);
  return tree;
}

function applyEnvironment(
  tree: SettingsTree,
  settings: readonly Setting[],
  env: ConfigSource["env"],
  problems: string[],
): void {
  for (const [name, value] of Object.entries(env)) {
    if (!name.startsWith(ENV_PREFIX) || ENV_RESERVED.has(name) || value === undefined) continue;
    const target = environmentTarget(name, settings);
    if (!target) {
      const known = settings.map((candidate) => candidate.env);
      problems.push(`${name}: no such setting${suggest(name, known)}`);
      continue;
    }
    try {
      setAt(tree, target.name, target.isText ? value : readYaml(value));
    } catch {
      problems.push(`${name}: not valid YAML`);
    }
  }
}

/** The setting, or the option of Nova, that a variable names. */
function environmentTarget(
  name: string,
  settings: readonly Setting[],
): { readonly name: string; readonly isText: boolean } | undefined {
  const isText = (setting: Setting | undefined): boolean => setting?.schema instanceof z.ZodString;
  const setting = settings.find(({ env }) => env === name);
  if (setting) return { name: setting.name, isText: isText(setting) };
  const option = NOVA_OPTIONS.find((candidate) => envName(candidate.name) === name);
  if (!option) return undefined;
  // What is refused is refused whatever it says.
  const meant = "setting" in option ? settings.find((candidate) => candidate.name === option.setting) : undefined;
  return { name: option.name, isText: !meant || isText(meant) };
}

function describeIssue(issue: z.core.$ZodIssue, settings: readonly Setting[], { givenAs }: Translation): string[] {
  const path = issue.path.map(String);
  if (issue.code !== "unrecognized_keys") {
    const name = path.join(".");
    const [setting, novaNames] = [...givenAs].find(([given]) => `${name}.`.startsWith(`${given}.`)) ?? [];
    return [`${setting && novaNames ? `${novaNames.join(" and ")} (${name})` : name}: ${issue.message}`];
  }
  return issue.keys.map((key) => {
    const name = [...path, key].join(".");
    const known = settings.flatMap((setting) => [setting.name, ...sections(setting.name)]);
    return `${name}: no such setting${suggest(name, known)}`;
  });
}

function sections(name: string): string[] {
  const parts = name.split(".");
  return parts.slice(1).map((_, index) => parts.slice(0, index + 1).join("."));
}

/** "; did you mean …?" for what is near one of the known names; else nothing. */
export function suggest(name: string, known: readonly string[]): string {
  const ranked = known.map((candidate) => ({ candidate, far: distance(name, candidate) }));
  ranked.sort((a, b) => a.far - b.far);
  const best = ranked[0];
  return best && best.far <= Math.max(3, name.length / 3) ? `; did you mean ${best.candidate}?` : "";
}
