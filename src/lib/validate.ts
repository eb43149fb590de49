// SPDX-License-Identifier: Apache-2.0
import { ServiceError } from "./service-error.js";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
// Control characters and the characters that reorder text on a screen (Unicode bidirectional controls).
// eslint-disable-next-line no-control-regex -- they are what is refused
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/u;

/** An INVALID_ARGUMENT that names the field. */
export function invalid(field: string, problem: string): ServiceError {
  return new ServiceError("INVALID_ARGUMENT", `${field} ${problem}`, { metadata: { field } });
}

/** A canonical UUID in lower case; upper case is accepted. Throws INVALID_ARGUMENT. */
export function parseUuid(value: string, field: string): string {
  const lower = value.length === 36 ? value.toLowerCase() : "";
  if (!UUID.test(lower)) {
    throw invalid(field, "must be a UUID of the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx");
  }
  return lower;
}

/** True for a canonical lower-case UUID. */
export function isUuid(value: string): boolean {
  return UUID.test(value);
}

/** What a text may be. */
export interface TextRule {
  readonly field: string;
  /** Most code points. */
  readonly most: number;
  /** Whether an empty text is refused. */
  readonly required?: boolean;
  /** Names may hold anything but NUL, since they are escaped where shown; other texts no control characters at all. */
  readonly free?: boolean;
}

/** Returns the text, or throws INVALID_ARGUMENT that says what is wrong. */
export function parseText(value: string, rule: TextRule): string {
  if (value === "" && rule.required === true) throw invalid(rule.field, "must not be empty");
  // A code point takes at most two UTF-16 units: this refuses a huge text without walking it.
  if (value.length > rule.most * 2 || (value.length > rule.most && Array.from(value).length > rule.most)) {
    throw invalid(rule.field, `must have at most ${rule.most} characters`);
  }
  if (value.includes("\0")) throw invalid(rule.field, "must not contain NUL");
  if (rule.free !== true && UNSAFE.test(value)) throw invalid(rule.field, "must not contain control characters");
  return value;
}
