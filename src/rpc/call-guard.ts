// SPDX-License-Identifier: Apache-2.0
import type { MethodDefinition } from "@grpc/grpc-js";
import type { RequestContext } from "./request-context.js";

/** Lets calls of a method go on. */
export interface CallGuard {
  /** False where it does not matter who calls: strangers may, or what the request holds proves who sends it. */
  readonly asksWho: boolean;
  /**
   * Throws PERMISSION_DENIED unless the caller may. The request is as it came, for the audit of a refusal: nothing of it has
   * been checked.
   */
  readonly admit: (context: RequestContext, request: unknown) => Promise<void> | void;
}

/** The guard of a method, by its full name; throws for a method without a rule, so that no such method is served. */
export type GuardOf = (path: string) => CallGuard;

/** What names a method, and says what it takes and gives. */
export type NamedMethod<Request, Response> = Pick<
  MethodDefinition<Request, Response>,
  "path" | "requestDeserialize" | "responseSerialize"
>;

/** An RPC's own name, for logs and metrics. */
export function ownName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
