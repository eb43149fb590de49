// SPDX-License-Identifier: Apache-2.0
import { status } from "@grpc/grpc-js";

/**
 * Every reason this system gives for not doing what was asked. A reason is part of the API: clients decide by it, so it
 * is never renamed. Texts may change.
 */
export type ErrorReason =
  | "INVALID_ARGUMENT"
  | "CONSOLE_TYPE_INVALID"
  | "SPICE_DISABLED"
  | "NO_SPICE_DISPLAY"
  | "INSTANCE_NOT_FOUND"
  | "INSTANCE_NOT_READY"
  | "INSTANCE_BUSY"
  | "INSTANCE_NOT_RUNNING"
  | "NO_NETWORK_DISPLAY"
  | "TARGET_CHANGED"
  | "CONSOLE_IN_USE"
  | "HOST_LACKS_SPICE"
  | "AGENT_UNAVAILABLE"
  | "HYPERVISOR_UNAVAILABLE"
  | "DATABASE_UNAVAILABLE"
  | "LEGACY_STORE_UNAVAILABLE"
  | "INVENTORY_INCOMPLETE"
  | "DRAINING"
  | "AGENT_TIMEOUT"
  | "TOKEN_INVALID"
  | "TOKEN_EXPIRED"
  | "TOKEN_USED"
  | "UNAUTHENTICATED"
  | "PERMISSION_DENIED"
  | "ORIGIN_REFUSED"
  | "CHANNEL_TYPE_REFUSED"
  | "LIMITED"
  | "TARGET_REFUSED"
  | "TOKEN_NOT_FOUND"
  | "HOST_NOT_FOUND"
  | "SESSION_NOT_FOUND"
  | "SESSION_ENDED"
  | "VERSION_UNSUPPORTED"
  | "ENROLLMENT_DISABLED"
  | "CANCELLED"
  | "INTERNAL";

/** How a reason looks at each boundary. */
export interface ErrorMapping {
  /** gRPC status code. */
  readonly grpc: status;
  /** HTTP status; a WebSocket closes with 4000 plus this. */
  readonly http: number;
  /** After how long a caller may try again, in milliseconds; absent where trying again changes nothing. */
  readonly retryMs?: number;
}

/** The one table from reason to status. A new reason without a row does not compile. */
export const ERROR_TABLE = {
  INVALID_ARGUMENT: { grpc: status.INVALID_ARGUMENT, http: 400 },
  CONSOLE_TYPE_INVALID: { grpc: status.INVALID_ARGUMENT, http: 400 },
  SPICE_DISABLED: { grpc: status.FAILED_PRECONDITION, http: 400 },
  NO_SPICE_DISPLAY: { grpc: status.FAILED_PRECONDITION, http: 400 },
  INSTANCE_NOT_FOUND: { grpc: status.NOT_FOUND, http: 404 },
  INSTANCE_NOT_READY: { grpc: status.FAILED_PRECONDITION, http: 409 },
  INSTANCE_BUSY: { grpc: status.FAILED_PRECONDITION, http: 409 },
  INSTANCE_NOT_RUNNING: { grpc: status.FAILED_PRECONDITION, http: 409 },
  NO_NETWORK_DISPLAY: { grpc: status.FAILED_PRECONDITION, http: 409 },
  TARGET_CHANGED: { grpc: status.FAILED_PRECONDITION, http: 409 },
  CONSOLE_IN_USE: { grpc: status.FAILED_PRECONDITION, http: 409 },
  HOST_LACKS_SPICE: { grpc: status.UNIMPLEMENTED, http: 501 },
  AGENT_UNAVAILABLE: { grpc: status.UNAVAILABLE, http: 503, retryMs: 2_000 },
  HYPERVISOR_UNAVAILABLE: { grpc: status.UNAVAILABLE, http: 503, retryMs: 2_000 },
  DATABASE_UNAVAILABLE: { grpc: status.UNAVAILABLE, http: 503, retryMs: 1_000 },
  LEGACY_STORE_UNAVAILABLE: { grpc: status.UNAVAILABLE, http: 503, retryMs: 1_000 },
  INVENTORY_INCOMPLETE: { grpc: status.UNAVAILABLE, http: 503, retryMs: 1_000 },
  DRAINING: { grpc: status.UNAVAILABLE, http: 503, retryMs: 1_000 },
  AGENT_TIMEOUT: { grpc: status.DEADLINE_EXCEEDED, http: 504 },
  TOKEN_INVALID: { grpc: status.UNAUTHENTICATED, http: 401 },
  TOKEN_EXPIRED: { grpc: status.UNAUTHENTICATED, http: 401 },
  TOKEN_USED: { grpc: status.UNAUTHENTICATED, http: 401 },
  UNAUTHENTICATED: { grpc: status.UNAUTHENTICATED, http: 401 },
  PERMISSION_DENIED: { grpc: status.PERMISSION_DENIED, http: 403 },
  ORIGIN_REFUSED: { grpc: status.PERMISSION_DENIED, http: 403 },
  CHANNEL_TYPE_REFUSED: { grpc: status.PERMISSION_DENIED, http: 403 },
  LIMITED: { grpc: status.RESOURCE_EXHAUSTED, http: 429, retryMs: 1_000 },
  TARGET_REFUSED: { grpc: status.UNAVAILABLE, http: 502 },
  TOKEN_NOT_FOUND: { grpc: status.NOT_FOUND, http: 404 },
  HOST_NOT_FOUND: { grpc: status.NOT_FOUND, http: 404 },
  SESSION_NOT_FOUND: { grpc: status.NOT_FOUND, http: 404 },
  SESSION_ENDED: { grpc: status.FAILED_PRECONDITION, http: 410 },
  VERSION_UNSUPPORTED: { grpc: status.FAILED_PRECONDITION, http: 406 },
  ENROLLMENT_DISABLED: { grpc: status.FAILED_PRECONDITION, http: 409 },
  CANCELLED: { grpc: status.CANCELLED, http: 499 },
  INTERNAL: { grpc: status.INTERNAL, http: 500 },
} as const satisfies Record<ErrorReason, ErrorMapping>;

/** What a ServiceError may carry besides its reason and message. */
export interface ServiceErrorOptions {
  /** Values the caller may see, for example the field that is wrong. Never a secret. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** What caused it: for the log, never sent to the caller. */
  readonly cause?: unknown;
}

/**
 * The one error of this system. Its message is safe for the caller and says what to do next; its cause is for the log.
 * Boundaries turn foreign errors into it once on the way in, and it into a status once on the way out.
 */
export class ServiceError extends Error {
  override readonly name = "ServiceError";
  readonly reason: ErrorReason;
  readonly metadata: Readonly<Record<string, string>>;

  constructor(reason: ErrorReason, message: string, options: ServiceErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.reason = reason;
    this.metadata = options.metadata ?? {};
  }

  /** How this error's reason looks at each boundary. */
  get mapping(): ErrorMapping {
    return ERROR_TABLE[this.reason];
  }
}

/** The reason of anything that was thrown: its own for a ServiceError, INTERNAL for everything else. */
export function reasonOf(error: unknown): ErrorReason {
  return error instanceof ServiceError ? error.reason : "INTERNAL";
}
