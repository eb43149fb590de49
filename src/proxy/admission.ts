// SPDX-License-Identifier: Apache-2.0
// What must hold before a use case is asked, the same for requests and for WebSockets.
import type { RefusalNotes } from "../console/viewer.js";
import type { HttpRequest } from "../http/http-requests.js";
import { draining } from "../lib/draining.js";
import { ServiceError } from "../lib/service-error.js";
import type { FailedAttempts } from "../rpc/failed-attempts.js";
import type { OriginRule } from "./origin-rule.js";
import { readProof } from "./session-cookie.js";

/** What admission goes by. */
export interface AdmissionOptions {
  readonly origins: OriginRule;
  /** Whether this controller is stopping. */
  readonly draining: () => boolean;
  readonly refusals: RefusalNotes;
  readonly redemptions: Pick<FailedAttempts, "guard">;
}

/** Who wants something, and of which session. */
export interface Attempt {
  readonly viewer: HttpRequest;
  readonly sessionId?: string | undefined;
}

/** Refuses what no use case needs to see, and has it noted. */
export class Admission {
  readonly #options: AdmissionOptions;

  constructor(options: AdmissionOptions) {
    this.#options = options;
  }

  /** Throws ORIGIN_REFUSED for what the script of another page has sent. */
  requireOrigin(header: string | undefined, attempt: Attempt): void {
    if (this.#options.origins.allows(header, attempt.viewer)) return;
    const message =
      "pages of this origin may not use consoles here; an administrator can list it in console.allowed_origins";
    this.refuse(new ServiceError("ORIGIN_REFUSED", message), attempt);
  }

  /** Throws DRAINING for anything new while this controller stops. */
  requireServing(attempt: Attempt): void {
    if (this.#options.draining()) this.refuse(draining(), attempt);
  }

  /** The proof in the Cookie header. Throws the SESSION_NOT_FOUND of an unknown session where there is none. */
  requireProof(cookie: string | undefined, attempt: Attempt): string {
    return readProof(cookie) ?? this.refuse(sessionNotFound(), attempt);
  }

  /** Shows a token or a proof to whoever can tell; LIMITED where the viewer's address has shown too many that are no good. */
  trying<T>({ viewer }: Attempt, work: () => Promise<T>): Promise<T> {
    return this.#options.redemptions.guard(viewer, work);
  }

  /** Has the error noted and throws it. */
  refuse(error: ServiceError, { viewer, sessionId }: Attempt): never {
    this.#options.refusals.note(error, { sessionId }, viewer);
    throw error;
  }
}

/** The one answer to whoever cannot prove a session, whether it exists or not. */
export function sessionNotFound(): ServiceError {
  return new ServiceError(
    "SESSION_NOT_FOUND",
    "there is no such session, or it is not yours; ask for a new console URL",
  );
}

/** The same words whether nobody has such a session or somebody else has. */
export function withoutHints(thrown: unknown): unknown {
  return thrown instanceof ServiceError && thrown.reason === "SESSION_NOT_FOUND" ? sessionNotFound() : thrown;
}
