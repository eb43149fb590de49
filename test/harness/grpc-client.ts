// SPDX-License-Identifier: Apache-2.0
import type { ClientUnaryCall, Metadata, ServiceError as GrpcError } from "@grpc/grpc-js";
import { Metadata as NewMetadata, status } from "@grpc/grpc-js";
import { ErrorInfo, RetryInfo } from "../../proto/gen/google/rpc/error_details.js";
import { Status } from "../../proto/gen/google/rpc/status.js";

/** What the status details of an error say. */
export interface ErrorDetails {
  readonly info: ErrorInfo | undefined;
  readonly retry: RetryInfo | undefined;
}

/** A call that failed, as a client sees it. */
export interface CallFailure extends ErrorDetails {
  readonly code: status;
  readonly message: string;
  /** The reason, or the code's name where an error carries none (grpc-js' own errors). */
  readonly reason: string;
}

/** A call's outcome. */
export type CallResult<Response> =
  | { readonly ok: true; readonly response: Response; readonly ms: number }
  | { readonly ok: false; readonly failure: CallFailure; readonly ms: number };

/** A method of a generated client, as far as `callUnary` uses it. */
export type UnaryClientMethod<Request, Response> = (
  request: Request,
  metadata: Metadata,
  options: { deadline?: number },
  callback: (error: GrpcError | null, response: Response) => void,
) => ClientUnaryCall;

/** How a call is made. */
export interface CallOptions {
  /** Milliseconds until the client gives up; default 10 s. */
  readonly ms?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Gets the call, to cancel it. */
  readonly onCall?: (call: ClientUnaryCall) => void;
}

/** Reads google.rpc details from the trailers of an error. */
export function errorDetails(metadata: Metadata): ErrorDetails {
  const [bytes] = metadata.get("grpc-status-details-bin");
  if (!Buffer.isBuffer(bytes)) return { info: undefined, retry: undefined };
  const { details } = Status.decode(bytes);
  const find = (type: string): Uint8Array | undefined =>
    details.find(({ typeUrl }) => typeUrl === `type.googleapis.com/google.rpc.${type}`)?.value;
  const info = find("ErrorInfo");
  const retry = find("RetryInfo");
  return { info: info && ErrorInfo.decode(info), retry: retry && RetryInfo.decode(retry) };
}

/** Makes a unary call and returns how it ended; it never throws. */
export function callUnary<Request, Response>(
  method: UnaryClientMethod<Request, Response>,
  request: Request,
  { ms = 10_000, headers = {}, onCall }: CallOptions = {},
): Promise<CallResult<Response>> {
  const startedAt = performance.now();
  const metadata = new NewMetadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  return new Promise((resolve) => {
    const call = method(request, metadata, { deadline: Date.now() + ms }, (error, response) => {
      const took = performance.now() - startedAt;
      if (!error) return resolve({ ok: true, response, ms: took });
      const details = errorDetails(error.metadata);
      const reason = details.info?.reason ?? status[error.code];
      resolve({ ok: false, failure: { code: error.code, message: error.details, reason, ...details }, ms: took });
    });
    onCall?.(call);
  });
}
