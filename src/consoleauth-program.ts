// SPDX-License-Identifier: Apache-2.0
// The legacy store as a program of its own, `spicegate consoleauth`: what nova-consoleauth was. Of the
// database it only wants to know the tokens of its callers.
import type { Server } from "@grpc/grpc-js";
import { addConsoleAuthService, CONSOLEAUTH_SERVICE } from "./api/consoleauth-service.js";
import { createCallerParts } from "./caller-parts.js";
import type { ControllerConfig } from "./config/controller-config.js";
import { createLocalParts } from "./consoleauth/legacy-parts.js";
import { VerbGate } from "./console/verb-gate.js";
import { systemClock } from "./lib/clock.js";
import { Notifications } from "./db/notifications.js";
import { Database } from "./db/pool.js";
import { USER_TOKENS_CHANNEL } from "./identity/user-token-store.js";
import type { Part } from "./lib/lifecycle.js";
import { Lifecycle } from "./lib/lifecycle.js";
import { requireAddress } from "./lib/listen-address.js";
import type { Log } from "./lib/log.js";
import { ruleOf } from "./policy/method-rules.js";
import { PolicyFile } from "./policy/policy-file.js";
import { Policy } from "./policy/policy.js";
import { NO_CALL_LIMITS } from "./rpc/call-limits.js";
import { GrpcServer } from "./rpc/grpc-server.js";
import { PublishedServices } from "./rpc/published-services.js";
import { UnaryHandlers } from "./rpc/unary-handler.js";
import { createCallMetrics } from "./telemetry/controller-metrics.js";
import { createRegistry } from "./telemetry/metrics.js";
import { Readiness } from "./telemetry/readiness.js";
import { TelemetryServer } from "./telemetry/telemetry-server.js";

/** What it is made from: the controller's settings, of which it uses a few. */
export interface ConsoleAuthProgramOptions {
  readonly config: ControllerConfig;
  readonly log: Log;
}

/** A run of `spicegate consoleauth`. */
export class ConsoleAuthProgram implements Part {
  readonly #log: Log;
  readonly #readiness = new Readiness(["serving"]);
  readonly #published = new PublishedServices([CONSOLEAUTH_SERVICE]);
  readonly #lifecycle: Lifecycle;

  constructor({ config, log }: ConsoleAuthProgramOptions) {
    const { listen, telemetry_listen: telemetryListen } = config.consoleauth;
    const { file } = config.policy;
    const clock = systemClock;
    const registry = createRegistry();
    const metrics = createCallMetrics(registry);
    const database = new Database({ ...config.database, log });
    const notifications = new Notifications({ ...config.database, channels: [USER_TOKENS_CHANNEL], log });
    const callers = createCallerParts({ config, database, notifications, limits: NO_CALL_LIMITS, log, metrics });
    const policy = new Policy();
    const { guardOf } = new VerbGate({ policy, audit: undefined, log });
    const handlers = new UnaryHandlers({ callers: callers.grpc, guardOf, log, metrics });
    const { store, consoleAuth } = createLocalParts(config);
    const addServices = (server: Server): void => {
      addConsoleAuthService(server, handlers, consoleAuth);
      this.#published.addToServer(server);
    };
    const telemetry = { listen: requireAddress(telemetryListen), registry, readiness: this.#readiness, log };
    this.#log = log;
    this.#lifecycle = new Lifecycle(log, [
      { name: "telemetry", part: new TelemetryServer(telemetry) },
      ...(file === undefined ? [] : [{ name: "policy", part: new PolicyFile({ file, policy, metrics, log, clock }) }]),
      { name: "database", part: database },
      { name: "notifications", part: notifications },
      ...callers.parts,
      { name: "store", part: store },
      {
        name: "server",
        part: new GrpcServer({
          name: "consoleauth",
          listen: requireAddress(listen),
          addServices,
          requireRule: ruleOf,
          log,
        }),
      },
      { name: "calls", part: handlers },
    ]);
    this.#readiness.onChange((ready) => this.#announce(ready));
  }

  async start(): Promise<void> {
    await this.#lifecycle.start();
    this.#readiness.set("serving", true);
  }

  /** Takes no new calls, lets those that run finish, and stops; a store in memory is forgotten. */
  async stop(): Promise<void> {
    this.#readiness.set("serving", false, "stopping");
    await this.#lifecycle.stop();
  }

  #announce(ready: boolean): void {
    this.#published.announce(ready);
    this.#log.info({ ready }, ready ? "ready" : "not ready");
  }
}
