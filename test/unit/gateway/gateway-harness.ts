// SPDX-License-Identifier: Apache-2.0
import type { HttpServer } from "../../../src/http/http-server.js";
import { once } from "node:events";
import type { Socket } from "node:net";
import { connect } from "node:net";
import { Registry } from "prom-client";
import type { ConsoleRequest, IssuedConsole } from "../../../src/console/get-spice-console.js";
import type { Page, PageRequest } from "../../../src/db/page-token.js";
import type { GatewayServerOptions } from "../../../src/gateway/gateway-server.js";
import { createGatewayServer } from "../../../src/gateway/gateway-server.js";
import type { Instance, InstanceFilters } from "../../../src/instances/instance.js";
import { NO_CALL_LIMITS } from "../../../src/rpc/call-limits.js";
import type { Caller } from "../../../src/rpc/caller.js";
import type { CallersOptions, CallerSource } from "../../../src/rpc/callers.js";
import { Callers } from "../../../src/rpc/callers.js";
import { LoopbackCallers } from "../../../src/rpc/loopback-callers.js";
import type { RequestContext } from "../../../src/rpc/request-context.js";
import { createCallMetrics, createControllerMetrics } from "../../../src/telemetry/controller-metrics.js";
import type { ConsoleTarget } from "../../../src/tokens/console-token-store.js";
import { FakeLog } from "../../fakes/fake-log.js";
import { DEFAULT_GATE } from "../../harness/default-gate.js";
import { RestClient } from "../../harness/rest-client.js";
import { anInstance, UUID } from "../../fakes/instance.js";

export const CALLER = { subject: "tester", project: "", roles: ["admin" as const] };
/** Who is known as in a deployment without Keystone, on trusted loopback or not. */
export function loopbackCallers(trusted: boolean, caller: Caller = CALLER): Callers {
  const source = new LoopbackCallers({ trust_loopback: trusted, loopback_caller: caller }, "any");
  return callersFrom(source);
}

/** The same by any source, within limits. */
export function callersFrom(source: CallerSource, limits: CallersOptions["limits"] = NO_CALL_LIMITS): Callers {
  return new Callers({ sources: [source], entrance: "rest", limits, metrics: createCallMetrics(new Registry()) });
}

export const URL = "http://proxy.example/console#token=t";

/** The use cases, each of which a test can replace, and what they were asked. */
export class FakeUseCases {
  readonly consoles: ConsoleRequest[] = [];
  readonly lists: { readonly filters: InstanceFilters; readonly page: PageRequest }[] = [];
  readonly lookups: string[] = [];
  readonly contexts: RequestContext[] = [];
  instances: readonly Instance[] = [anInstance()];
  nextPageToken = "";
  target: ConsoleTarget = {
    instanceUuid: UUID,
    consoleType: "spice-html5",
    host: "127.0.0.1",
    port: 5900,
    tlsPort: undefined,
    internalAccessPath: undefined,
  };
  issue = (): Promise<IssuedConsole> =>
    Promise.resolve({ url: URL, consoleType: "spice-html5", expiresAt: new Date(0), viewOnly: false });

  readonly getSpiceConsole = {
    execute: (request: ConsoleRequest, context: RequestContext): Promise<IssuedConsole> => {
      this.consoles.push(request);
      this.contexts.push(context);
      return this.issue();
    },
  };

  readonly lookupConsoleToken = {
    execute: (token: string): Promise<ConsoleTarget> => {
      this.lookups.push(token);
      return Promise.resolve(this.target);
    },
  };

  readonly inventory = {
    listInstances: (filters: InstanceFilters, page: PageRequest): Promise<Page<Instance>> => {
      this.lists.push({ filters, page });
      return Promise.resolve({ items: this.instances, nextPageToken: this.nextPageToken });
    },
    getInstance: (): Promise<{ instance: Instance; faults: readonly never[] }> =>
      Promise.resolve({ instance: anInstance(), faults: [] }),
  };
}

/** A gateway on a port of its own, over fake use cases. */
export class GatewayUnderTest {
  readonly useCases = new FakeUseCases();
  readonly fake = new FakeLog();
  readonly registry = new Registry();
  readonly server: HttpServer;
  #rest: RestClient | undefined;

  constructor(more: Partial<GatewayServerOptions> = {}) {
    this.server = createGatewayServer({
      getSpiceConsole: this.useCases.getSpiceConsole,
      lookupConsoleToken: this.useCases.lookupConsoleToken,
      inventory: this.useCases.inventory,
      listen: { host: "127.0.0.1", port: 0 },
      callers: loopbackCallers(true),
      keystoneUrl: undefined,
      gate: DEFAULT_GATE,
      trustedProxies: [],
      log: this.fake.log,
      metrics: createControllerMetrics(this.registry),
      ...more,
    });
  }

  async start(): Promise<this> {
    await this.server.start();
    this.#rest = new RestClient(this.address);
    return this;
  }

  get address(): string {
    return `127.0.0.1:${this.server.port}`;
  }

  get rest(): RestClient {
    if (!this.#rest) throw new Error("not started");
    return this.#rest;
  }

  /** Sends bytes on a connection of their own and returns all that comes back until it ends. */
  async raw(bytes: string): Promise<string> {
    const socket = await this.connect();
    socket.write(bytes);
    let text = "";
    socket.setEncoding("latin1").on("data", (data: string) => (text += data));
    await once(socket, "close");
    return text;
  }

  async connect(): Promise<Socket> {
    const socket = connect({ port: this.server.port, host: "127.0.0.1" });
    await once(socket, "connect");
    return socket;
  }
}
