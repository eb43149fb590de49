// SPDX-License-Identifier: Apache-2.0
import pg from "pg";
import { ServiceError } from "../lib/service-error.js";

// SQLSTATE classes that say nothing about the statement, only about the server or the way to it: connection,
// authorization, unknown database, operator's intervention, system.
const OUTAGE_CLASSES = new Set(["08", "28", "3D", "57", "58"]);
// The server lives, but has no connection, memory or disk to spare: the connections that work are worth keeping.
const RESOURCES_CLASS = "53";
// The server lives, but this statement did not get its turn: cancelled by statement_timeout, serialization failure,
// deadlock, lock not available.
const BUSY_CODES = new Set(["57014", "40001", "40P01", "55P03"]);
// A standby that has not been promoted.
const READ_ONLY = "25006";
// What a mistake of ours in a parameter looks like; everything else that the driver throws is about the connection.
const PROGRAMMING_ERRORS = [TypeError, RangeError, SyntaxError];

/** How an error of the driver is to be taken: the server or the way to it is gone, it is busy, or we made a mistake. */
export type PostgresTrouble = "outage" | "busy" | "bug";

/** Judges by SQLSTATE where there is one, never by text. */
export function troubleOf(error: unknown): PostgresTrouble {
  if (error instanceof pg.DatabaseError) return troubleOfCode(error.code ?? "");
  if (PROGRAMMING_ERRORS.some((kind) => error instanceof kind)) return "bug";
  return "outage";
}

function troubleOfCode(code: string): PostgresTrouble {
  if (BUSY_CODES.has(code) || code.startsWith(RESOURCES_CLASS)) return "busy";
  if (code === READ_ONLY || OUTAGE_CLASSES.has(code.slice(0, 2))) return "outage";
  return "bug";
}

/** The database is away or overloaded; the caller may try again in a second. */
export function databaseUnavailable(cause?: unknown): ServiceError {
  return new ServiceError("DATABASE_UNAVAILABLE", "the database does not answer; try again", { cause });
}

/** The one mapping of the driver's errors. A ServiceError passes unchanged. */
export function serviceErrorFromPostgres(error: unknown): ServiceError {
  if (error instanceof ServiceError) return error;
  if (troubleOf(error) !== "bug") return databaseUnavailable(error);
  return new ServiceError("INTERNAL", "the database refused a statement", { cause: error });
}
