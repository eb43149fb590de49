// SPDX-License-Identifier: Apache-2.0
import { Lexer, parseDocument } from "yaml";
import { MAX_YAML_DEPTH, MAX_YAML_LENGTH } from "../lib/limits.js";

/**
 * Throws an Error for a text that the parser must not see: it reads what is nested by recursion, and where the stack ends
 * within a regular expression V8 ends the process; and it writes out keys that are lists or maps, which can take minutes.
 */
function requireModestYaml(text: string): void {
  if (text.length > MAX_YAML_LENGTH) throw new Error(`it is longer than ${MAX_YAML_LENGTH} characters`);
  let open = 0;
  let onLine = 0;
  for (const token of new Lexer().lex(text)) {
    if (token === "[" || token === "{") open += 1;
    else if (token === "]" || token === "}") open -= 1;
    else if (token === "-") onLine += 1;
    else if (token === "?") throw new Error('keys that begin with "?" are not taken');
    else if (token === "\n" || token === "\r\n") onLine = 0;
    if (open + onLine > MAX_YAML_DEPTH) throw new Error(`it is nested more than ${MAX_YAML_DEPTH} deep`);
  }
}

/**
 * What a YAML text says. Throws an Error whose message quotes nothing of the text, as the parser's own messages and
 * warnings do: the line that cannot be read may be the one with the password.
 */
export function readYaml(text: string): unknown {
  requireModestYaml(text);
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
