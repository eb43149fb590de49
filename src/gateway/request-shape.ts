// SPDX-License-Identifier: Apache-2.0
// Bodies whose shape depends on the version, which fastify's own schema of a route cannot.
import type { FastifyRequest } from "fastify";
import type { ServiceError } from "../lib/service-error.js";
import { MAX_QUOTED_LENGTH } from "../lib/limits.js";
import { invalid } from "../lib/validate.js";

interface SchemaError {
  readonly instancePath: string;
  readonly keyword: string;
  readonly message?: string;
  readonly params: Readonly<Record<string, unknown>>;
}

/** Throws INVALID_ARGUMENT that names the bad field, unless the body is as the schema says. */
export function requireShape(request: FastifyRequest, schema: object): void {
  const validate = request.compileValidationSchema(schema);
  if (validate(request.body)) return;
  const [error]: readonly SchemaError[] = validate.errors ?? [];
  throw problemOf(error);
}

function problemOf(error: SchemaError | undefined): ServiceError {
  const { instancePath = "", keyword = "", message = "is not as it should be", params = {} } = error ?? {};
  const path = instancePath.slice(1).replaceAll("/", ".");
  const within = (name: unknown): string => [path, String(name)].filter((part) => part !== "").join(".");
  if (keyword === "required") return invalid(within(params["missingProperty"]), "must be present");
  if (keyword === "additionalProperties") {
    // The client's own word: in quotes, escaped and cut.
    const name = JSON.stringify(String(params["additionalProperty"]).slice(0, MAX_QUOTED_LENGTH));
    return invalid(path === "" ? "the body" : path, `must not have the field ${name}`);
  }
  if (keyword === "enum")
    return invalid(path, `must be one of ${(params["allowedValues"] as readonly string[]).join(", ")}`);
  return invalid(path === "" ? "the body" : path, message);
}
