// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import type { Verb } from "../../../src/config/policy-table.js";
import { gatewayRoutes } from "../../../src/gateway/gateway-routes.js";
import { DEFAULT_GATE } from "../../harness/default-gate.js";
import { GatewayUnderTest } from "./gateway-harness.js";

/** What clients ask before they know how to authenticate. */
const OPEN = ["/", "/v2.1", "/v2.1/"];

describe("The gateway's addresses", () => {
  it("each ask for a verb, but for those that tell the version", async () => {
    const asked: (readonly [string, Verb])[] = [];
    let address = "";
    const refuse: typeof DEFAULT_GATE.require = (verb, context, about) => {
      asked.push([address, verb]);
      return DEFAULT_GATE.require(verb, { ...context, caller: { ...context.caller, roles: [] } }, about);
    };
    const gateway = await new GatewayUnderTest({ gate: { require: refuse } }).start();
    try {
      for (const { url, methods } of routesOf(gateway)) {
        for (const method of Object.keys(methods)) {
          address = `${method} ${url}`;
          const path = url.replace(":project", "p").replace(/:\w+/, "00000000-0000-4000-8000-000000000001");
          const options = { method, version: "2.31", ...(method === "POST" ? { rawBody: "no JSON" } : {}) };
          const { status } = await gateway.rest.get(path, options);
          expect(status, address).to.equal(OPEN.includes(url) ? 200 : 403);
        }
      }
      const shapes = new Set(asked.map(([where, verb]) => `${where.replace("/:project", "")}: ${verb}`));
      expect([...shapes]).to.deep.equal([
        "GET /v2.1/servers: instance:read",
        "GET /v2.1/servers/detail: instance:read",
        "GET /v2.1/servers/:server: instance:read",
        "POST /v2.1/servers/:server/action: console:open",
        "POST /v2.1/servers/:server/remote-consoles: console:open",
        "GET /v2.1/os-console-auth-tokens/:token: console:lookup",
      ]);
      expect(gateway.useCases.consoles).to.deep.equal([]);
      expect(gateway.useCases.lookups).to.deep.equal([]);
    } finally {
      await gateway.server.stop();
    }
  });

  const routesOf = ({
    useCases: { getSpiceConsole, lookupConsoleToken, inventory },
  }: GatewayUnderTest): ReturnType<typeof gatewayRoutes> => {
    const calls = { guard: () => undefined, allowing: () => () => undefined };
    const useCases = { getSpiceConsole, lookupConsoleToken, inventory };
    return gatewayRoutes({ ...useCases, calls, requests: {} } as unknown as Parameters<typeof gatewayRoutes>[0]);
  };
});
