// SPDX-License-Identifier: Apache-2.0
import { Writable } from "node:stream";
import { pino } from "pino";
import type { Log, LogLevel } from "../../src/lib/log.js";

/** A log that remembers its lines. */
export class FakeLog {
  readonly log: Log;
  readonly #lines: Record<string, unknown>[] = [];

  constructor() {
    const memory = new Writable({
      write: (line: Buffer, _encoding, done) => {
        this.#lines.push(JSON.parse(line.toString()) as Record<string, unknown>);
        done();
      },
    });
    this.log = pino({ level: "trace", formatters: { level: (label) => ({ level: label }) } }, memory);
  }

  /** The lines of a level so far. */
  at(level: LogLevel): readonly Record<string, unknown>[] {
    return this.#lines.filter((line) => line["level"] === level);
  }
}
