// SPDX-License-Identifier: Apache-2.0
// Nova's os-console-auth-tokens: what a token stands for, for administrators and native proxies.
import type { RouteHandlerMethod } from "fastify";
import type { LookupConsoleToken } from "../console/lookup-console-token.js";
import { MAX_TOKEN_LENGTH } from "../lib/limits.js";
import { ServiceError } from "../lib/service-error.js";
import { invalid } from "../lib/validate.js";
import type { NovaCalls } from "./nova-calls.js";
import { queryNames } from "./request-query.js";

/** What the handler needs. */
export interface ConsoleAuthTokensOptions {
  readonly calls: NovaCalls;
  readonly lookupConsoleToken: Pick<LookupConsoleToken, "execute">;
}

/** Before it the call was for RDP alone, which is no more. */
const ALL_KINDS_FROM = 31;
const STRICT_FROM = 99;

/** Tells what a token stands for; it is not consumed. */
export function showConsoleAuthToken({ calls, lookupConsoleToken }: ConsoleAuthTokensOptions): RouteHandlerMethod {
  return async (request) => {
    const { version, context } = calls.of(request);
    if (version < ALL_KINDS_FROM) throw invalid("the API version", "must be at least 2.31 for this address");
    if (version >= STRICT_FROM && queryNames(request).length > 0) {
      throw invalid("the query", "must be empty");
    }
    const { token } = request.params as { readonly token: string };
    const target = await lookupConsoleToken.execute(requireToken(token), context);
    const direct = version >= STRICT_FROM && target.consoleType === "spice-direct";
    return {
      console: {
        instance_uuid: target.instanceUuid,
        host: target.host,
        port: target.port ?? null,
        internal_access_path: target.internalAccessPath ?? null,
        ...(direct ? { tls_port: target.tlsPort ?? null } : {}),
      },
    };
  };
}

/** As in Nova, what cannot be a token is one that nobody knows; an empty one is refused. */
function requireToken(text: string): string {
  if (text === "") throw invalid("token", "must not be empty");
  if (text.length <= MAX_TOKEN_LENGTH) return text;
  throw new ServiceError("TOKEN_NOT_FOUND", "the token is unknown, used or expired");
}
