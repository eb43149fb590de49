// SPDX-License-Identifier: Apache-2.0
import type { FastifyRequest } from "fastify";

/** The names in a request's query. */
export function queryNames(request: FastifyRequest): readonly string[] {
  return Object.keys(request.query as object);
}

/** What a request's query says; where it says a thing twice, the last counts. */
export function queryOf(request: FastifyRequest): ReadonlyMap<string, string> {
  const entries = Object.entries(request.query as Readonly<Record<string, string | readonly string[]>>);
  return new Map(entries.map(([name, value]) => [name, typeof value === "string" ? value : (value.at(-1) ?? "")]));
}
