// SPDX-License-Identifier: Apache-2.0
// One YAML file plus environment variables, checked by one zod schema. The schema is the only list of settings: the
// loader, `check-config` and the generated documentation all walk it.
import { distance } from "fastest-levenshtein";
import { readFileSync } from "node:fs";
import { parse as parseYaml } from "yaml";
import { z } from "zod";

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

type Tree = Record<string, unknown>;

const ENV_PREFIX = "SPICEGATE_";
// Names with the prefix that are no settings.
const ENV_RESERVED = new Set(["SPICEGATE_CONFIG"]);

/** Reads, merges (environment wins) and checks. Throws ConfigError with every problem found. */
export function loadConfig<S extends z.ZodObject>(schema: S, source: ConfigSource): z.infer<S> {
  const problems: string[] = [];
  const settings = listSettings(schema);
  const tree = source.file === undefined ? {} : readTree(source.file);
  applyEnvironment(tree, settings, source.env, problems);
  const result = schema.safeParse(tree);
  if (!result.success) problems.push(...result.error.issues.flatMap((issue) => describeIssue(issue, settings)));
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
      const value = valueAt(config, name.split("."));
      return [name, secret && value !== undefined ? maskSecret(value) : value];
    }),
  );
}

/** The effective values as `check-config` prints them, a line each. */
export function formatSettings(schema: z.ZodObject, config: unknown): string {
  const show = (value: unknown): string => (value === undefined ? "(unset)" : JSON.stringify(value));
  const lines = Object.entries(effectiveSettings(schema, config));
  return lines.map(([name, value]) => `${name}: ${show(value)}\n`).join("");
}

/** A URL keeps everything but its password; any other secret is hidden whole. */
function maskSecret(value: unknown): string {
  if (typeof value !== "string" || !URL.canParse(value)) return "[hidden]";
  const url = new URL(value);
  if (url.password !== "") url.password = "hidden";
  return url.href;
}

function valueAt(tree: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>((node, key) => (isTree(node) ? node[key] : undefined), tree);
}

function isTree(value: unknown): value is Tree {
  return typeof value === "object" && value !== null && !Array.isArray(value);
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

function readTree(file: string): Tree {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new ConfigError([`cannot read ${file}: ${error instanceof Error ? error.message : String(error)}`]);
  }
  let tree: unknown;
  try {
    tree = parseYaml(text);
  } catch (error) {
    throw new ConfigError([`${file} is not valid YAML: ${error instanceof Error ? error.message : String(error)}`]);
  }
  if (tree === null || tree === undefined) return {};
  if (!isTree(tree)) throw new ConfigError([`${file} must hold sections such as "api:", not a list or a single value`]);
  return tree;
}

function applyEnvironment(
  tree: Tree,
  settings: readonly Setting[],
  env: ConfigSource["env"],
  problems: string[],
): void {
  for (const [name, value] of Object.entries(env)) {
    if (!name.startsWith(ENV_PREFIX) || ENV_RESERVED.has(name) || value === undefined) continue;
    const setting = settings.find((candidate) => candidate.env === name);
    if (!setting) {
      problems.push(
        `${name}: no such setting${suggest(
          name,
          settings.map((candidate) => candidate.env),
        )}`,
      );
      continue;
    }
    try {
      setAt(tree, setting.name.split("."), setting.schema instanceof z.ZodString ? value : parseYaml(value));
    } catch {
      problems.push(`${name}: not valid YAML`);
    }
  }
}

function setAt(tree: Tree, path: readonly string[], value: unknown): void {
  const [key = "", ...rest] = path;
  if (rest.length === 0) {
    tree[key] = value;
    return;
  }
  const child = tree[key];
  const next: Tree = isTree(child) ? child : {};
  tree[key] = next;
  setAt(next, rest, value);
}

function describeIssue(issue: z.core.$ZodIssue, settings: readonly Setting[]): string[] {
  const path = issue.path.map(String);
  if (issue.code !== "unrecognized_keys") return [`${path.join(".")}: ${issue.message}`];
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

function suggest(name: string, known: readonly string[]): string {
  const ranked = known.map((candidate) => ({ candidate, far: distance(name, candidate) }));
  ranked.sort((a, b) => a.far - b.far);
  const best = ranked[0];
  return best && best.far <= Math.max(3, name.length / 3) ? `; did you mean ${best.candidate}?` : "";
}
