// SPDX-License-Identifier: Apache-2.0
// What the gateway answers, address by address.
import type { RouteHandlerMethod } from "fastify";
import type { Verb } from "../config/policy-table.js";
import type { Route } from "../http/routes.js";
import type { ConsoleAuthTokensOptions } from "./console-auth-tokens.js";
import { showConsoleAuthToken } from "./console-auth-tokens.js";
import type { NovaCalls } from "./nova-calls.js";
import type { RemoteConsolesOptions } from "./remote-consoles.js";
import { createRemoteConsole, runAction } from "./remote-consoles.js";
import type { ServerHandlersOptions } from "./server-handlers.js";
import { listServers, showServer } from "./server-handlers.js";
import { serverDetail, serverSummary } from "./server-views.js";
import { tellVersion, tellVersions } from "./version-documents.js";

/** What the addresses need. */
export interface GatewayRoutesOptions extends ServerHandlersOptions, RemoteConsolesOptions, ConsoleAuthTokensOptions {
  readonly calls: NovaCalls;
}

/** Every address of the gateway. What is below /v2.1 is there a second time, with the project that older clients name. */
export function gatewayRoutes(options: GatewayRoutesOptions): Route[] {
  const { requests } = options;
  const version = { methods: { GET: { handler: tellVersion(requests) } } };
  return [
    { url: "/", methods: { GET: { handler: tellVersions(requests) } } },
    { url: "/v2.1", ...version },
    { url: "/v2.1/", ...version },
    ...serverRoutes("/v2.1", options),
    ...serverRoutes("/v2.1/:project", options),
  ];
}

/** Each says which verb it takes. */
function serverRoutes(prefix: string, options: GatewayRoutesOptions): Route[] {
  const { calls } = options;
  const read = (url: string, verb: Verb, handler: RouteHandlerMethod): Route => {
    return {
      url: `${prefix}${url}`,
      guards: [calls.guard],
      methods: { GET: { handler, guards: [calls.allowing(verb)] } },
    };
  };
  const ask = (url: string, verb: Verb, handler: RouteHandlerMethod): Route => {
    return {
      url: `${prefix}${url}`,
      guards: [calls.guard],
      methods: { POST: { handler, guards: [calls.allowing(verb)] } },
    };
  };
  return [
    read("/servers", "instance:read", listServers(options, serverSummary)),
    read("/servers/detail", "instance:read", listServers(options, serverDetail)),
    read("/servers/:server", "instance:read", showServer(options)),
    // The only actions that there are ask for a console.
    ask("/servers/:server/action", "console:open", runAction(options)),
    ask("/servers/:server/remote-consoles", "console:open", createRemoteConsole(options)),
    read("/os-console-auth-tokens/:token", "console:lookup", showConsoleAuthToken(options)),
  ];
}
