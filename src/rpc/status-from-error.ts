// SPDX-License-Identifier: Apache-2.0
// The one place where an error becomes a gRPC status.
import { Metadata } from "@grpc/grpc-js";
import type { StatusObject } from "@grpc/grpc-js";
import { ErrorInfo, RetryInfo } from "../../proto/gen/google/rpc/error_details.js";
import { Status } from "../../proto/gen/google/rpc/status.js";
import type { ServiceError } from "../lib/service-error.js";

/** The ErrorInfo domain of every error of this system. */
export const ERROR_DOMAIN = "spicegate";

const DETAILS_KEY = "grpc-status-details-bin";
const ERROR_INFO_URL = "type.googleapis.com/google.rpc.ErrorInfo";
const RETRY_INFO_URL = "type.googleapis.com/google.rpc.RetryInfo";

/** The status of an error, with google.rpc.ErrorInfo and, where a retry helps, RetryInfo in its details. */
export function statusFromError(error: ServiceError): StatusObject {
  const { retryMs } = error;
  const { grpc } = error.mapping;
  const info = ErrorInfo.encode({ reason: error.reason, domain: ERROR_DOMAIN, metadata: error.metadata }).finish();
  const details = [{ typeUrl: ERROR_INFO_URL, value: Buffer.from(info) }];
  if (retryMs !== undefined) details.push({ typeUrl: RETRY_INFO_URL, value: retryInfo(retryMs) });
  const metadata = new Metadata();
  const status = Status.encode({ code: grpc, message: error.message, details }).finish();
  metadata.set(DETAILS_KEY, Buffer.from(status));
  return { code: grpc, details: error.message, metadata };
}

function retryInfo(ms: number): Buffer<ArrayBuffer> {
  const retryDelay = { seconds: BigInt(Math.floor(ms / 1_000)), nanos: (ms % 1_000) * 1_000_000 };
  return Buffer.from(RetryInfo.encode({ retryDelay }).finish());
}
