// SPDX-License-Identifier: Apache-2.0
// What settings name by file and the program reads once, at its start.
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { messageOf } from "../lib/message-of.js";
import { ConfigError } from "./load-config.js";

/** The text of the file that a setting names. Throws ConfigError. */
function readSetting(name: string, file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new ConfigError([`${name}: ${messageOf(error)}`]);
  }
}

/** The secret in the file that a setting names, without the end of its line; undefined where it names none. Throws ConfigError. */
export function readSecret(name: string, file: string | undefined): string | undefined {
  return file === undefined ? undefined : readSetting(name, file).trimEnd();
}

/** The certificates in the file that a setting names; undefined where it names none. Throws ConfigError. */
export function readAuthorities(name: string, file: string | undefined): string | undefined {
  if (file === undefined) return undefined;
  const text = readSetting(name, file);
  try {
    new X509Certificate(text);
    return text;
  } catch {
    throw new ConfigError([`${name}: ${file} holds no certificate in PEM form`]);
  }
}
