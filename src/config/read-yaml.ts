// SPDX-License-Identifier: Apache-2.0
import { parseDocument } from "yaml";

/**
 * What a YAML text says. Throws an Error whose message quotes nothing of the text, as the parser's own messages and
 * warnings do: the line that cannot be read may be the one with the password.
 */
export function readYaml(text: string): unknown {
  const document = parseDocument(text, { logLevel: "error" });
  const [error] = document.errors;
  const [at] = error?.linePos ?? [];
  if (error) throw new Error(at === undefined ? error.code : `${error.code} at line ${at.line}, column ${at.col}`);
  try {
    return document.toJS();
  } catch {
    throw new Error("an alias leads nowhere, or too far");
  }
}
