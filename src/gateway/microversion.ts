// SPDX-License-Identifier: Apache-2.0
// Nova's microversions. One is written here as the N of 2.N.
import type { IncomingHttpHeaders } from "node:http";
import { headerList } from "../http/header-list.js";
import { HttpProblem } from "../http/http-problem.js";

/** The N of 2.N. */
export type Microversion = number;

/** The versions of a method, both included. */
export interface VersionRange {
  readonly min: Microversion;
  readonly max: Microversion;
}

/** What this API speaks, and takes a request without a version for. */
export const SUPPORTED: VersionRange = { min: 1, max: 99 };

const STANDARD_HEADER = "openstack-api-version";
const LEGACY_HEADER = "x-openstack-nova-api-version";
const VERSION = /^([1-9][0-9]*)\.([1-9][0-9]*|0)$/;

/** The version as people write it. */
export function versionText(version: Microversion): string {
  return `2.${version}`;
}

/** The version that a request asks for. Throws a 400 for what is none, and a 406 for one that is not spoken here. */
export function requestedVersion(headers: IncomingHttpHeaders): Microversion {
  const text = standardVersion(headers[STANDARD_HEADER]) ?? headerList(headers[LEGACY_HEADER]).at(-1);
  if (text === undefined) return SUPPORTED.min;
  if (text === "latest") return SUPPORTED.max;
  const match = VERSION.exec(text);
  if (!match) {
    throw new HttpProblem(400, "INVALID_ARGUMENT", "the API version must be of the form 2.N, or latest");
  }
  const minor = Number(match[2]);
  if (match[1] === "2" && minor >= SUPPORTED.min && minor <= SUPPORTED.max) return minor;
  const { min, max } = SUPPORTED;
  const message = `this API version is not supported; the minimum is ${versionText(min)} and the maximum is ${versionText(max)}`;
  throw new HttpProblem(406, "VERSION_UNSUPPORTED", message);
}

/** Throws a 404 where the method does not exist in that version: in Nova it is then not there at all. */
export function requireVersion(version: Microversion, { min, max }: VersionRange): void {
  if (version >= min && version <= max) return;
  throw new HttpProblem(404, "NOT_FOUND", `API version ${versionText(version)} is not supported on this method`);
}

/** What every answer says about versions, whether or not it has one. */
export const VARY_HEADERS = { vary: "OpenStack-API-Version, X-OpenStack-Nova-API-Version" };

/** The headers of an answer in this version, in both spellings. */
export function versionHeaders(version: Microversion): Record<string, string> {
  const text = versionText(version);
  return { [STANDARD_HEADER]: `compute ${text}`, [LEGACY_HEADER]: text, ...VARY_HEADERS };
}

/** Of "identity 3.1, compute 2.8" the compute part; of several the last, as Nova does. */
function standardVersion(header: string | string[] | undefined): string | undefined {
  const entries = headerList(header).map((entry) => /^(\S+)\s+(.+)$/.exec(entry));
  return entries.findLast((entry) => entry?.[1]?.toLowerCase() === "compute")?.[2];
}
