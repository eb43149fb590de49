// SPDX-License-Identifier: Apache-2.0
// What a list of servers is asked for, in Nova's words.
import type { FastifyRequest } from "fastify";
import type { InstanceFilters, NamePart } from "../instances/instance.js";
import { MAX_HOST_LENGTH, MAX_NAME_LENGTH, MAX_PAGE_SIZE } from "../lib/limits.js";
import { invalid, isUuid, parseText } from "../lib/validate.js";
import { seesEveryProject } from "../policy/policy.js";
import type { Caller } from "../rpc/caller.js";
import type { Microversion } from "./microversion.js";
import { queryOf } from "./request-query.js";

/** A list as it is asked for. */
export interface ServerQuery {
  readonly filters: InstanceFilters;
  /** At most so many; 0 is a page with nothing on it. */
  readonly limit: number;
}

/** What Nova can order or widen its list by, and what changes nothing here. */
const WITHOUT_EFFECT = ["sort_key", "sort_dir"];
const UNDERSTOOD = [
  "name",
  "limit",
  "marker",
  "host",
  "project_id",
  "tenant_id",
  "all_tenants",
  "all_projects",
  "deleted",
];
/** What Nova would narrow its list by, and we cannot: an answer would say more than was asked for. */
const NOT_HERE = [
  ...["status", "vm_state", "task_state", "power_state", "user_id", "uuid", "image", "flavor", "ip", "ip6", "hostname"],
  ...["tags", "tags-any", "not-tags", "not-tags-any", "metadata", "reservation_id", "availability_zone", "locked"],
  ...["changes-since", "changes-before", "created_at", "launched_at", "terminated_at", "description", "key_name"],
  ...["config_drive", "progress", "node", "access_ip_v4", "access_ip_v6"],
];
/** From it on Nova refuses what it does not know; before it says nothing. */
const STRICT_FROM = 75;
const YES = ["", "1", "t", "true", "on", "y", "yes"];
const NO = ["0", "f", "false", "off", "n", "no"];

/** Reads a query. Throws INVALID_ARGUMENT that names the bad parameter. */
export function serverQueryOf(request: FastifyRequest, version: Microversion, caller: Caller): ServerQuery {
  const query = queryOf(request);
  for (const name of query.keys()) requireUnderstood(name, version);
  if (flagOf(query, "deleted")) throw invalid("deleted", "is not kept here: deleted instances cannot be listed");
  const name = query.get("name");
  const marker = query.get("marker");
  return {
    limit: limitOf(query.get("limit")),
    filters: {
      namePart: name === undefined ? undefined : namePartOf(name),
      after: marker === undefined ? undefined : markerOf(marker),
      ...placeOf(query, caller),
    },
  };
}

/**
 * The name as Nova's clients send it: to Nova it is a regular expression. Here its text is looked for, with "^" and "$"
 * for the ends of the name and a backslash before what is meant literally, as clients escape it.
 */
export function namePartOf(name: string): NamePart {
  const text = parseText(name, { field: "name", most: MAX_NAME_LENGTH, free: true });
  const atStart = text.startsWith("^");
  const atEnd = /(?:^|[^\\])(?:\\\\)*\$$/.test(text);
  const inner = text.slice(atStart ? 1 : 0, atEnd ? -1 : undefined);
  return { text: inner.replace(/\\(\W)/gu, "$1"), atStart, atEnd };
}

function requireUnderstood(name: string, version: Microversion): void {
  if (NOT_HERE.includes(name)) throw invalid(name, "is no filter of this list; it has name, host and project_id");
  if (version < STRICT_FROM || UNDERSTOOD.includes(name) || WITHOUT_EFFECT.includes(name)) return;
  throw invalid("the query", `must have only ${[...UNDERSTOOD, ...WITHOUT_EFFECT].join(", ")}`);
}

/** As in Nova an administrator of a project is shown that project, unless it asks for more. */
function placeOf(query: ReadonlyMap<string, string>, caller: Caller): Pick<InstanceFilters, "projectId" | "host"> {
  if (!seesEveryProject(caller)) return {};
  const field = (name: string, most: number): string | undefined => {
    const value = query.get(name);
    return value === undefined ? undefined : parseText(value, { field: name, most });
  };
  const asked = field("project_id", MAX_NAME_LENGTH) ?? field("tenant_id", MAX_NAME_LENGTH);
  const all = flagOf(query, "all_tenants") || flagOf(query, "all_projects");
  const own = all || caller.project === "" ? undefined : caller.project;
  return { projectId: asked ?? own, host: field("host", MAX_HOST_LENGTH) };
}

function limitOf(text: string | undefined): number {
  if (text === undefined) return MAX_PAGE_SIZE;
  if (!/^[0-9]{1,10}$/.test(text)) throw invalid("limit", "must be a number, not negative");
  return Math.min(Number(text), MAX_PAGE_SIZE);
}

function markerOf(text: string): string {
  const uuid = text.toLowerCase();
  if (!isUuid(uuid)) throw invalid("marker", "must be the id of an instance");
  return uuid;
}

function flagOf(query: ReadonlyMap<string, string>, name: string): boolean {
  const text = query.get(name)?.trim().toLowerCase();
  if (text === undefined || NO.includes(text)) return false;
  if (!YES.includes(text)) throw invalid(name, "must be true or false");
  return true;
}
