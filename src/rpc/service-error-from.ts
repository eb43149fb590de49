// SPDX-License-Identifier: Apache-2.0
import { randomUUID } from "node:crypto";
import { ServiceError } from "../lib/service-error.js";

/** Anything thrown becomes a ServiceError; the unknown gets an id that the caller can quote and the log repeats. */
export function serviceErrorFrom(thrown: unknown): ServiceError {
  if (thrown instanceof ServiceError && thrown.reason !== "INTERNAL") return thrown;
  const errorId = randomUUID();
  const message = `internal error; the controller's log has it under ${errorId}`;
  return new ServiceError("INTERNAL", message, { cause: thrown, metadata: { error_id: errorId } });
}
