// SPDX-License-Identifier: Apache-2.0
// SPICE's "host-subject": the subject of a display's certificate, such as "C=XX,O=Example,CN=host-1".
import type { X509Certificate } from "node:crypto";

/** A part of a subject: its type in capitals, and its value. */
type SubjectPart = readonly [type: string, value: string];

const PART = /^\s*([a-z][a-z0-9.]*)=(.+)$/is;
/** A comma that no backslash escapes. */
const COMMA = /(?<=(?:^|[^\\])(?:\\\\)*),/;

/** The parts of a subject in their order; undefined for what is no subject. */
export function parseSubject(text: string): readonly SubjectPart[] | undefined {
  return partsOf(text.split(COMMA));
}

/** Whether a certificate's subject is this one, part for part and in this order. */
export function hasSubject({ subject }: Pick<X509Certificate, "subject">, wanted: readonly SubjectPart[]): boolean {
  // Node writes one part a line and escapes as SPICE does, line ends too; no subject at all is undefined to it.
  const parts = partsOf(((subject as string | undefined) ?? "").split("\n"));
  return JSON.stringify(parts) === JSON.stringify(wanted);
}

function partsOf(texts: readonly string[]): readonly SubjectPart[] | undefined {
  const parts = texts.map((text): SubjectPart | undefined => {
    const [, type, value] = PART.exec(text) ?? [];
    return type === undefined || value === undefined ? undefined : [type.toUpperCase(), value.replace(/\\(.)/gs, "$1")];
  });
  return parts.every((part) => part !== undefined) ? parts : undefined;
}
