// SPDX-License-Identifier: Apache-2.0
// The files of the page. They are read once, into a map: a request can name what is in it and nothing else, whatever
// dots, slashes and escapes it is made of.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, extname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

/** One file as it is sent. */
export interface PageFile {
  readonly type: string;
  readonly body: Buffer;
  /** Absent where it saves nothing. */
  readonly gzipped: Buffer | undefined;
  /** A weak one, since it names both forms. */
  readonly etag: string;
}

/** Everything that the proxy serves from disk. */
export interface PageFiles {
  /** index.html. */
  readonly page: PageFile;
  /** By the path below /assets/. */
  readonly assets: ReadonlyMap<string, PageFile>;
}

/** Where the page is built to: beside the compiled proxy. */
export const PAGE_FOLDER = fileURLToPath(new URL("../page", import.meta.url));

const CONTENT_TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".json": "application/json; charset=utf-8",
  ".webmanifest": "application/manifest+json",
  ".txt": "text/plain; charset=utf-8",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".ico": "image/x-icon",
  ".woff2": "font/woff2",
};
const INDEX = "index.html";

/** Reads the built page and spice-html5. Throws where the page was not built. */
export function readPageFiles(folder: string): PageFiles {
  const assets = new Map(readFolder(folder, filesIn(folder)));
  const page = assets.get(INDEX);
  if (!page) throw new Error(`there is no page in ${folder}; run \`make build\``);
  assets.delete(INDEX);
  for (const [name, file] of readViewer()) assets.set(`spice-html5/${name}`, file);
  return { page, assets };
}

/** The sources of spice-html5 and what they import; its tools for old browsers stay where they are. */
function readViewer(): [string, PageFile][] {
  const manifest = createRequire(import.meta.url).resolve("@spice-project/spice-html5/package.json");
  const folder = join(dirname(manifest), "src");
  const scripts = filesIn(folder).filter((name) => /^(thirdparty\/)?[^/]+\.js$/.test(name));
  return readFolder(folder, scripts);
}

/** The names of the plain files below a folder, with "/" between their parts; none where there is no folder. */
function filesIn(folder: string): string[] {
  try {
    const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
    const files = entries.filter((entry) => entry.isFile());
    return files.map(({ parentPath, name }) => relative(folder, join(parentPath, name)).split(sep).join("/"));
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  }
}

/** Reads files of a folder. What has no content type, such as the compiler's declarations, is not for browsers. */
export function readFolder(folder: string, names: readonly string[]): [string, PageFile][] {
  return names.flatMap((name): [string, PageFile][] => {
    const type = CONTENT_TYPES[extname(name)];
    return type === undefined ? [] : [[name, pageFile(type, readFileSync(join(folder, name)))]];
  });
}

function pageFile(type: string, body: Buffer): PageFile {
  const gzipped = gzipSync(body);
  const etag = `W/"${createHash("sha256").update(body).digest("base64url")}"`;
  return { type, body, gzipped: gzipped.length < body.length ? gzipped : undefined, etag };
}
