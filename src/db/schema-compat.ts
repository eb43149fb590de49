// SPDX-License-Identifier: Apache-2.0

/** The schema that this program was written for: the number of the newest migration. */
export const SCHEMA_VERSION = 5;

/** The one row of `schema_compat`. */
export interface SchemaCompat {
  /** Number of the newest migration that was applied. */
  readonly version: number;
  /** The oldest SCHEMA_VERSION of a program that can still live with it. */
  readonly minReader: number;
}

/** What a program may do with a schema, and what to tell the operator where that is nothing. */
export type SchemaVerdict =
  | { readonly kind: "usable" }
  | { readonly kind: "too-old"; readonly advice: string }
  | { readonly kind: "too-new"; readonly advice: string };

/**
 * A newer schema is usable until one of its migrations says otherwise by raising min_reader; an older one never is, but
 * it is worth waiting for the migration.
 */
export function judgeSchema(found: SchemaCompat | undefined, program = SCHEMA_VERSION): SchemaVerdict {
  if (!found || found.version < program) {
    const has = found ? `version ${found.version}` : "not there";
    return { kind: "too-old", advice: `the schema is ${has}, version ${program} is needed: run "spicegate migrate"` };
  }
  if (found.minReader > program) {
    const advice = `the schema needs a program for version ${found.minReader} or later, this one is for ${program}: upgrade it`;
    return { kind: "too-new", advice };
  }
  return { kind: "usable" };
}
