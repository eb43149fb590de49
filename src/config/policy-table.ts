// SPDX-License-Identifier: Apache-2.0
// Who may do what, as a file says it: each verb with the roles that have it. What is not listed is denied to everybody.
import { readFileSync } from "node:fs";
import { messageOf } from "../lib/message-of.js";
import { ConfigError, suggest } from "./load-config.js";
import { readYaml } from "./read-yaml.js";
import { isTree } from "./settings-tree.js";

/** What a caller may be: the roles of Nova's policies, and our own for programs and auditors. */
export const ROLES = ["admin", "member", "reader", "auditor", "service"] as const;

type Role = (typeof ROLES)[number];

/** A thing that can be allowed. */
export interface VerbMeaning {
  /** What whoever has it can do. */
  readonly meaning: string;
  /** True where it knows no projects: then the roles that are bound to one cannot have it. */
  readonly everyProject: boolean;
  /** Who has it, unless policy.file says otherwise. */
  readonly roles: readonly Role[];
}

const EVERYBODY = ROLES;

/** Everything that can be allowed. */
export const VERBS = {
  "console:open": {
    meaning: "Ask for a console URL. Who has it as reader alone gets a console that can only be looked at.",
    everyProject: false,
    roles: ["admin", "member", "reader", "service"],
  },
  // Nova's os_compute_api:os-console-auth-tokens is for administrators only; "service" is for native proxies.
  "console:lookup": {
    meaning: "Ask what a console token stands for, as native proxies do.",
    everyProject: true,
    roles: ["admin", "service"],
  },
  "console:revoke": {
    meaning: "Take back the console URLs of an instance that can still be used.",
    everyProject: false,
    roles: ["admin", "member", "service"],
  },
  "session:list": { meaning: "See the sessions of consoles.", everyProject: false, roles: EVERYBODY },
  "session:watch": { meaning: "Be told what happens to sessions.", everyProject: false, roles: EVERYBODY },
  "session:terminate": {
    meaning: "End somebody's session.",
    everyProject: false,
    roles: ["admin", "member", "service"],
  },
  "instance:read": { meaning: "See instances, and what happens to them.", everyProject: false, roles: EVERYBODY },
  "instance:write": {
    meaning: "Register, change and delete instances, as orchestrators do.",
    everyProject: true,
    roles: ["admin", "service"],
  },
  "host:read": {
    meaning: "See the hosts and the state of their certificates.",
    everyProject: false,
    roles: ["admin", "reader", "auditor", "service"],
  },
  "host:write": {
    meaning: "Let hosts join, and revoke them. A host sees the consoles of its instances.",
    everyProject: true,
    roles: ["admin"],
  },
  // Every project's: who may read it is nobody's member.
  "audit:read": { meaning: "Read who opened which console.", everyProject: true, roles: ["admin", "auditor"] },
  "user:read": { meaning: "See who has bearer tokens.", everyProject: true, roles: ["admin"] },
  "user:write": {
    meaning: "Revoke bearer tokens; an admin also makes them, and nobody else does.",
    everyProject: true,
    roles: ["admin"],
  },
  // Whoever may write authorizations may open any console.
  "consoleauth:use": {
    meaning: "Use the legacy store of console tokens, as controllers do.",
    everyProject: true,
    roles: ["admin", "service"],
  },
} as const satisfies Readonly<Record<string, VerbMeaning>>;

/** A verb. */
export type Verb = keyof typeof VERBS;

/** The roles that have each verb. */
export type PolicyTable = Readonly<Record<Verb, readonly Role[]>>;

const VERB_NAMES = Object.keys(VERBS) as readonly Verb[];

/** The roles that see one project and nothing else. */
export const BOUND_TO_A_PROJECT: readonly Role[] = ["member", "reader"];

/** What holds without policy.file. */
export const DEFAULT_POLICY: PolicyTable = tableOf((verb) => VERBS[verb].roles);

/** The table in a file; the default where there is none. Throws ConfigError with every problem found. */
export function readPolicy(file: string | undefined): PolicyTable {
  if (file === undefined) return DEFAULT_POLICY;
  try {
    return parsePolicy(readFileSync(file, "utf8"));
  } catch (error) {
    const problems = error instanceof ConfigError ? error.problems : [messageOf(error)];
    throw new ConfigError(problems.map((problem) => `policy.file: ${problem}`));
  }
}

/** The table that a text holds. Throws ConfigError with every problem found. */
export function parsePolicy(text: string): PolicyTable {
  const tree = treeOf(text);
  const problems = Object.entries(tree).flatMap(([verb, roles]) => problemsOf(verb, roles));
  if (problems.length > 0) throw new ConfigError(problems);
  return tableOf((verb) => (tree[verb] ?? []) as readonly Role[]);
}

function treeOf(text: string): Record<string, unknown> {
  let tree: unknown;
  try {
    tree = readYaml(text);
  } catch (error) {
    throw new ConfigError([`it is not valid YAML: ${messageOf(error)}`]);
  }
  // An empty file is more likely one that is being written than the wish to deny everything to everybody.
  if (!isTree(tree)) throw new ConfigError(['it must hold verbs with their roles, such as "host:read: [admin]"']);
  return tree;
}

function problemsOf(verb: string, roles: unknown): string[] {
  if (!isVerb(verb)) return [`${verb}: no such verb${suggest(verb, VERB_NAMES)}`];
  if (!Array.isArray(roles)) return [`${verb}: must be a list of roles, such as [admin, service]`];
  return roles.flatMap((role: unknown) => {
    if (!isRole(role))
      return [`${verb}: ${JSON.stringify(role)} is no role${typeof role === "string" ? suggest(role, ROLES) : ""}`];
    if (!VERBS[verb].everyProject || !BOUND_TO_A_PROJECT.includes(role)) return [];
    return [`${verb}: not for ${role}, which is bound to its project, since this reaches every project`];
  });
}

function isVerb(name: string): name is Verb {
  return Object.hasOwn(VERBS, name);
}

function isRole(name: unknown): name is Role {
  return ROLES.some((role) => role === name);
}

function tableOf(rolesOf: (verb: Verb) => readonly Role[]): PolicyTable {
  return Object.fromEntries(VERB_NAMES.map((verb) => [verb, rolesOf(verb)])) as PolicyTable;
}
