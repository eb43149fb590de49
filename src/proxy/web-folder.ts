// SPDX-License-Identifier: Apache-2.0
// The page that opened consoles before ours did, which is somebody else's: Debian's spice-html5, or whatever proxy.web
// holds. Its files are served as they are, beside our own addresses.
import type { Dirent } from "node:fs";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { MAX_WEB_BYTES, MAX_WEB_FILES } from "../lib/limits.js";
import type { PageFile } from "./page-files.js";
import { readFolder } from "./page-files.js";

/** The page that console URLs name. */
const PAGE = "spice_auto.html";
/** Names that mean nothing to anybody but a file system: neither "..", nor what a route would take for a pattern. */
const NAME = /^[\w-][\w.-]*$/;

/**
 * Reads the files of the folder by their path below it, without those below `reserved`, names of our own. Links and
 * hidden files are passed over. Throws where the page is not there, or the folder holds more than such a page is made of.
 */
export function readWebFolder(folder: string, reserved: ReadonlySet<string>): ReadonlyMap<string, PageFile> {
  const names = namesIn(folder).filter((name) => !reserved.has(name.split("/", 1)[0] ?? ""));
  if (!names.includes(PAGE)) throw new Error(missing(folder));
  const bytes = names.reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
  if (bytes > MAX_WEB_BYTES)
    throw new Error(`proxy.web: ${folder} holds ${bytes} bytes, at most ${MAX_WEB_BYTES} are served`);
  return new Map(readFolder(folder, names));
}

function namesIn(folder: string): readonly string[] {
  const names: string[] = [];
  const folders = [""];
  for (const below of folders) {
    for (const entry of entriesOf(join(folder, below))) {
      if (!NAME.test(entry.name)) continue;
      if (entry.isDirectory()) folders.push(`${below}${entry.name}/`);
      if (entry.isFile()) names.push(below + entry.name);
    }
    if (names.length + folders.length <= MAX_WEB_FILES) continue;
    throw new Error(`proxy.web: ${folder} holds more than ${MAX_WEB_FILES} files; name the folder of the page alone`);
  }
  return names;
}

function entriesOf(folder: string): readonly Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch (error) {
    throw new Error(missing(folder), { cause: error });
  }
}

function missing(folder: string): string {
  return `proxy.web: there is no ${PAGE} in ${folder}; install the Debian package spice-html5, or switch console.compat_tokens off`;
}
