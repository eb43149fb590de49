// SPDX-License-Identifier: Apache-2.0
// Refusals in the shapes that clients of Nova know.
import type { HttpProblem, ProblemBody } from "../http/http-problem.js";

/** Nova's names of faults by status; any other is a computeFault. */
const FAULTS: Readonly<Record<number, string>> = {
  400: "badRequest",
  403: "forbidden",
  404: "itemNotFound",
  405: "badMethod",
  409: "conflictingRequest",
  413: "overLimit",
  415: "badMediaType",
  429: "overLimit",
  501: "notImplemented",
  503: "serviceUnavailable",
};

/** The body of a refusal: Nova's, or for who is not known the one of Keystone's middleware before it. */
export const faultBody: ProblemBody = (problem) => JSON.stringify(faultOf(problem));

function faultOf({ status: code, message, retryMs }: HttpProblem): object {
  if (code === 401) return { error: { code, title: "Unauthorized", message } };
  const name = FAULTS[code] ?? "computeFault";
  const limited = name === "overLimit" && retryMs !== undefined;
  const retry = limited ? { retryAfter: String(Math.ceil(retryMs / 1_000)) } : {};
  return { [name]: { code, message, ...retry } };
}
