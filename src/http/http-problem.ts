// SPDX-License-Identifier: Apache-2.0
import type { ErrorReason } from "../lib/service-error.js";
import { ServiceError } from "../lib/service-error.js";
import { serviceErrorFrom } from "../rpc/service-error-from.js";

/** The reasons of the table, and two that only HTTP knows. */
export type HttpReason = ErrorReason | "NOT_FOUND" | "METHOD_NOT_ALLOWED";

/** What an HttpProblem may carry besides its status, reason and message. */
export interface HttpProblemOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly retryMs?: number | undefined;
  /** For the log. */
  readonly metadata?: Readonly<Record<string, string>>;
  readonly cause?: unknown;
  /** See ServiceError. */
  readonly noted?: boolean;
}

/** An answer that refuses. Its message is safe for the client. */
export class HttpProblem extends Error {
  override readonly name = "HttpProblem";
  readonly status: number;
  readonly reason: HttpReason;
  readonly metadata: Readonly<Record<string, string>>;
  /** After how many milliseconds another try may help. */
  readonly retryMs: number | undefined;
  readonly noted: boolean;
  readonly #headers: Readonly<Record<string, string>>;

  constructor(status: number, reason: HttpReason, message: string, options: HttpProblemOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.status = status;
    this.reason = reason;
    this.metadata = options.metadata ?? {};
    this.#headers = options.headers ?? {};
    this.retryMs = options.retryMs;
    this.noted = options.noted ?? false;
  }

  /** Its headers, in lower case. */
  get headers(): Record<string, string> {
    const type = { "content-type": "application/json; charset=utf-8", ...this.#headers };
    return this.retryMs === undefined ? type : { ...type, "retry-after": String(Math.ceil(this.retryMs / 1_000)) };
  }
}

/** The body of a problem, JSON in the words of an entrance. */
export type ProblemBody = (problem: HttpProblem, requestId: string) => string;

/** An address where nothing is. */
export function notFound(): HttpProblem {
  return new HttpProblem(404, "NOT_FOUND", "there is nothing at this address");
}

/** Anything thrown, as the answer it becomes. fastify's own refusals keep their status, in words that repeat nothing of the request. */
export function problemFrom(thrown: unknown): HttpProblem {
  if (thrown instanceof HttpProblem) return thrown;
  const status = refusedByFastify(thrown);
  if (status !== undefined) {
    return new HttpProblem(status, "INVALID_ARGUMENT", wordsFor(status, thrown), { cause: thrown });
  }
  const error = serviceErrorFrom(thrown);
  const { retryMs, metadata, cause, noted } = error;
  return new HttpProblem(error.mapping.http, error.reason, error.message, { retryMs, metadata, cause, noted });
}

/** fastify marks what is the client's fault with a 4xx status. */
function refusedByFastify(thrown: unknown): number | undefined {
  if (!(thrown instanceof Error) || thrown instanceof ServiceError || !("statusCode" in thrown)) return undefined;
  const status = Number(thrown.statusCode);
  return status >= 400 && status < 500 ? status : undefined;
}

const NO_JSON = ["FST_ERR_CTP_INVALID_JSON_BODY", "FST_ERR_CTP_EMPTY_JSON_BODY"];

function wordsFor(status: number, thrown: unknown): string {
  if (status === 413) return "the body is too large";
  if (status === 415) return "the body must be application/json";
  // As Nova says it; a reserved name ("__proto__") makes it none as well.
  if (NO_JSON.includes(codeOf(thrown))) return "malformed request body: this is not JSON";
  return "the request is not what this address takes";
}

function codeOf(thrown: unknown): string {
  return thrown instanceof Error && "code" in thrown ? String(thrown.code) : "";
}
