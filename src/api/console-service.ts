// SPDX-License-Identifier: Apache-2.0
import type { Server } from "@grpc/grpc-js";
import type { ConsoleServiceServer } from "../../proto/gen/spicegate/console/v1/console.js";
import { ConsoleServiceService } from "../../proto/gen/spicegate/console/v1/console.js";
import type { GetSpiceConsole } from "../console/get-spice-console.js";
import type { LookupConsoleToken } from "../console/lookup-console-token.js";
import type { RevokeConsoleTokens } from "../console/revoke-console-tokens.js";
import { MAX_CONSOLE_TYPE_LENGTH, MAX_TOKEN_LENGTH } from "../lib/limits.js";
import { parseText, parseUuid } from "../lib/validate.js";
import { withMalformedMessages } from "../rpc/malformed-message.js";
import type { UnaryHandlers } from "../rpc/unary-handler.js";

/** The use cases behind the service. */
export interface ConsoleServiceOptions {
  readonly handlers: UnaryHandlers;
  readonly getSpiceConsole: GetSpiceConsole;
  readonly lookupConsoleToken: LookupConsoleToken;
  readonly revokeConsoleTokens: RevokeConsoleTokens;
}

/** Adds spicegate.console.v1.ConsoleService to a server: decode, call one use case, encode. */
export function addConsoleService(server: Server, options: ConsoleServiceOptions): void {
  const { handlers, getSpiceConsole, lookupConsoleToken, revokeConsoleTokens } = options;
  const implementation: ConsoleServiceServer = {
    getSpiceConsole: handlers.handle(ConsoleServiceService.getSpiceConsole, ({ instanceUuid, consoleType }, context) =>
      getSpiceConsole.execute(
        {
          instanceUuid: parseUuid(instanceUuid, "instance_uuid"),
          consoleType: parseText(consoleType, { field: "console_type", most: MAX_CONSOLE_TYPE_LENGTH }),
        },
        context,
      ),
    ),
    lookupConsoleToken: handlers.handle(ConsoleServiceService.lookupConsoleToken, async ({ token }, context) => {
      const text = parseText(token, { field: "token", most: MAX_TOKEN_LENGTH, required: true });
      const target = await lookupConsoleToken.execute(text, context);
      return {
        instanceUuid: target.instanceUuid,
        host: target.host,
        port: target.port ?? 0,
        tlsPort: target.tlsPort ?? 0,
        internalAccessPath: target.internalAccessPath ?? "",
      };
    }),
    revokeConsoleTokens: handlers.handle(
      ConsoleServiceService.revokeConsoleTokens,
      async ({ instanceUuid }, context) => ({
        revoked: await revokeConsoleTokens.execute(parseUuid(instanceUuid, "instance_uuid"), context),
      }),
    ),
  };
  server.addService(withMalformedMessages(ConsoleServiceService), implementation);
}
