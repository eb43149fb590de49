// SPDX-License-Identifier: Apache-2.0
import type { Server } from "@grpc/grpc-js";
import type { ConsoleAuthServiceServer } from "../../proto/gen/spicegate/consoleauth/v1/consoleauth.js";
import { ConsoleAuthServiceService } from "../../proto/gen/spicegate/consoleauth/v1/consoleauth.js";
import type { ConsoleAuth } from "../consoleauth/console-auth.js";
import { consoleFromMessage, messageFromConsole, tokenHashFrom } from "../consoleauth/console-messages.js";
import { parseUuid } from "../lib/validate.js";
import { withMalformedMessages } from "../rpc/malformed-message.js";
import type { UnaryHandlers } from "../rpc/unary-handler.js";

/** The service's name, for health and reflection. */
export const CONSOLEAUTH_SERVICE = "spicegate.consoleauth.v1.ConsoleAuthService";

/** Adds spicegate.consoleauth.v1.ConsoleAuthService to a server: decode, call the store, encode. */
export function addConsoleAuthService(server: Server, handlers: UnaryHandlers, consoleAuth: ConsoleAuth): void {
  const implementation: ConsoleAuthServiceServer = {
    authorizeConsole: handlers.handle(ConsoleAuthServiceService.authorizeConsole, async ({ tokenHash, console }) => {
      await consoleAuth.authorize(tokenHashFrom(tokenHash), consoleFromMessage(console));
      return {};
    }),
    checkToken: handlers.handle(ConsoleAuthServiceService.checkToken, async ({ tokenHash, consume }) => {
      const console = await consoleAuth.check(tokenHashFrom(tokenHash), { consume });
      return { console: console && messageFromConsole(console) };
    }),
    deleteTokensForInstance: handlers.handle(
      ConsoleAuthServiceService.deleteTokensForInstance,
      async ({ instanceUuid }) => ({
        deleted: await consoleAuth.deleteForInstance(parseUuid(instanceUuid, "instance_uuid")),
      }),
    ),
  };
  server.addService(withMalformedMessages(ConsoleAuthServiceService), implementation);
}
