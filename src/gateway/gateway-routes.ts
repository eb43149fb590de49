// SPDX-License-Identifier: Apache-2.0
// What the gateway answers, address by address.
import type { RouteHandlerMethod } from "fastify";
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

function serverRoutes(prefix: string, options: GatewayRoutesOptions): Route[] {
  const guards = [options.calls.guard];
  const read = (url: string, handler: RouteHandlerMethod): Route => {
    return { url: `${prefix}${url}`, guards, methods: { GET: { handler } } };
  };
  const ask = (url: string, handler: RouteHandlerMethod): Route => {
    return { url: `${prefix}${url}`, guards, methods: { POST: { handler } } };
  };
  return [
    read("/servers", listServers(options, serverSummary)),
    read("/servers/detail", listServers(options, serverDetail)),
    read("/servers/:server", showServer(options)),
    ask("/servers/:server/action", runAction(options)),
    ask("/servers/:server/remote-consoles", createRemoteConsole(options)),
    read("/os-console-auth-tokens/:token", showConsoleAuthToken(options)),
  ];
}
