// SPDX-License-Identifier: Apache-2.0
// Files that are read again whenever they change. They are looked at once a second: unlike a notification, that sees every
// way to replace a file, also the link that Kubernetes swaps for a whole folder.
import { readFileSync, statSync } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import type { Clock } from "./clock.js";
import { waitAtMost } from "./deadline.js";
import { IntervalLoop } from "./interval-loop.js";
import type { Part } from "./lifecycle.js";
import { FILES_INTERVAL_MS, FILES_READ_MS, MAX_WATCHED_FILE_BYTES } from "./limits.js";
import { messageOf } from "./message-of.js";

/** What watching files needs. */
export interface WatchedFilesOptions {
  /** Those that belong together. */
  readonly files: readonly string[];
  /** Takes their texts, in the order of the files; throws where they are no good. */
  readonly take: (texts: readonly string[]) => void;
  /** Hears of new texts that are no good, or of files that cannot be read: what was taken before stays in effect. */
  readonly refused: (error: unknown) => void;
  readonly clock: Clock;
  /** How long reading them may take, if not as usual; milliseconds. */
  readonly readMs?: number | undefined;
}

/** Files whose texts are taken at the start and after each change. */
export class WatchedFiles implements Part {
  readonly #options: WatchedFilesOptions;
  readonly #loop: IntervalLoop;
  /** What was taken or refused last, and what was seen at the last look. */
  #judged = "";
  #seen = "";
  #reading: Promise<readonly string[]> | undefined;

  constructor(options: WatchedFilesOptions) {
    this.#options = options;
    this.#loop = new IntervalLoop({ ms: FILES_INTERVAL_MS, run: () => this.#look(), clock: options.clock });
  }

  /** Reads and takes them, which must work, and begins to look for changes. */
  start(): void {
    const { files, take } = this.#options;
    const texts = files.map((file) => {
      requireSize(file, statSync(file));
      return readFileSync(file, "utf8");
    });
    take(texts);
    this.#judged = JSON.stringify(texts);
    this.#loop.start();
  }

  /** Looks no more. Twice is harmless. */
  async stop(): Promise<void> {
    await this.#loop.stop();
  }

  /** What has changed counts when it is the same twice: whoever replaces two files may be between them. */
  async #look(): Promise<void> {
    const { files, readMs = FILES_READ_MS } = this.#options;
    const signal = this.#loop.stopping;
    const expired = (): Error => new Error(`${files.join(" and ")} cannot be read in time`);
    const texts = await waitAtMost({ ms: readMs, expired, signal }, () => this.#read()).catch(messageOf);
    const before = this.#seen;
    this.#seen = JSON.stringify(texts);
    if (signal.aborted || this.#seen === this.#judged || this.#seen !== before) return;
    this.#judged = this.#seen;
    this.#judge(texts);
  }

  /** Files can hang: each further read of them would take one more of the few threads that all files and names share. */
  #read(): Promise<readonly string[]> {
    this.#reading ??= readAll(this.#options.files).finally(() => (this.#reading = undefined));
    return this.#reading;
  }

  #judge(texts: readonly string[] | string): void {
    const { take, refused } = this.#options;
    try {
      if (typeof texts === "string") throw new Error(texts);
      take(texts);
    } catch (error) {
      refused(error);
    }
  }
}

async function readAll(files: readonly string[]): Promise<readonly string[]> {
  const texts: string[] = [];
  for (const file of files) {
    requireSize(file, await stat(file));
    texts.push(await readFile(file, "utf8"));
  }
  return texts;
}

/** Once a second everything else would wait for one that is huge. */
function requireSize(file: string, { size }: { readonly size: number }): void {
  if (size > MAX_WATCHED_FILE_BYTES) throw new Error(`${file} has more than ${MAX_WATCHED_FILE_BYTES} bytes`);
}
