// SPDX-License-Identifier: Apache-2.0
import { destination, pino } from "pino";
import type { Logger } from "pino";

/** The logger that parts receive. Fields carry the data, messages stay constant; no token, URL or secret goes in. */
export type Log = Logger;

/** The levels a log can be set to, from the most to the least talkative. */
export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Names whose values never reach a log, should one be passed by mistake; a second line of defence. */
const SECRET_NAMES = [
  "token",
  "url",
  "authorization",
  "secret",
  "password",
  "tunnelSecret",
  "joinToken",
  "x-auth-token",
];

/** Makes the program's logger: one JSON line per entry on standard output, written before the call returns. */
export function createLog(program: string, level: LogLevel): Log {
  return pino(
    {
      level,
      base: { program, pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: SECRET_NAMES.flatMap((name) => [`["${name}"]`, `*["${name}"]`]), censor: "[hidden]" },
    },
    destination({ fd: 1, sync: true }),
  );
}

/** A logger that says nothing, for tests that do not look at logs. */
export const silentLog: Log = pino({ level: "silent" });
