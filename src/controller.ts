// SPDX-License-Identifier: Apache-2.0
// The one place that constructs the controller's long-lived parts and knows their order.
import type { Server } from "@grpc/grpc-js";
import type { ServingStatusMap } from "grpc-health-check";
import { HealthImplementation } from "grpc-health-check";
import { randomBytes } from "node:crypto";
import { AgentRouter } from "./agents/agent-router.js";
import { addAgentStreamService } from "./api/agent-stream-service.js";
import { addAuditService } from "./api/audit-service.js";
import { addConsoleService } from "./api/console-service.js";
import { addInventoryService } from "./api/inventory-service.js";
import { addSessionService } from "./api/session-service.js";
import { AuditLog } from "./audit/audit-log.js";
import { AuditReader } from "./audit/audit-reader.js";
import { RefusalRecorder } from "./audit/refusal-recorder.js";
import type { ControllerConfig } from "./config/controller-config.js";
import { GetSpiceConsole } from "./console/get-spice-console.js";
import { InstanceAccess } from "./console/instance-access.js";
import { ListAuditEvents } from "./console/list-audit-events.js";
import { LookupConsoleToken } from "./console/lookup-console-token.js";
import { ManageInventory } from "./console/manage-inventory.js";
import { ManageSessions } from "./console/manage-sessions.js";
import { RedeemConsoleToken } from "./console/redeem-console-token.js";
import { RevokeConsoleTokens } from "./console/revoke-console-tokens.js";
import { SessionEndings } from "./console/session-endings.js";
import { ViewerDrain } from "./console/viewer-drain.js";
import { ViewerRefusals } from "./console/viewer-refusals.js";
import { ProvenSessions } from "./console/viewer-sessions.js";
import type { Redeeming, ViewerSessions } from "./console/viewer.js";
import { Database } from "./db/pool.js";
import { Sweep } from "./db/sweep.js";
import { TunnelDisplays } from "./displays/tunnel-displays.js";
import { TunnelListener } from "./displays/tunnel-listener.js";
import { ControllerPresence } from "./instances/controller-presence.js";
import { InstanceRegistry } from "./instances/instance-registry.js";
import { systemClock } from "./lib/clock.js";
import type { Part } from "./lib/lifecycle.js";
import { Lifecycle } from "./lib/lifecycle.js";
import { READINESS_INTERVAL_MS } from "./lib/limits.js";
import { requireAddress } from "./lib/listen-address.js";
import type { Log } from "./lib/log.js";
import { ProxyServer } from "./proxy/proxy-server.js";
import { SpiceViewer } from "./proxy/spice-link.js";
import { runViewer, VIEWER_WEBSOCKETS } from "./proxy/viewer-socket.js";
import { GrpcServer } from "./rpc/grpc-server.js";
import { addReflection } from "./rpc/reflection.js";
import { StreamHandlers } from "./rpc/stream-handler.js";
import { UnaryHandlers } from "./rpc/unary-handler.js";
import { ChannelStore } from "./sessions/channel-store.js";
import { SessionRegistry } from "./sessions/session-registry.js";
import { SessionStore } from "./sessions/session-store.js";
import { SessionWatches } from "./sessions/session-watches.js";
import { WatchStore } from "./sessions/watch-store.js";
import { createControllerMetrics } from "./telemetry/controller-metrics.js";
import { createRegistry } from "./telemetry/metrics.js";
import { Readiness } from "./telemetry/readiness.js";
import { TelemetryServer } from "./telemetry/telemetry-server.js";
import { ConsoleAuthorizer } from "./tokens/console-authorizer.js";
import { ConsoleTokenStore, purgeExpiredTokens } from "./tokens/console-token-store.js";

/** What a controller is made from. */
export interface ControllerOptions {
  readonly config: ControllerConfig;
  readonly log: Log;
}

const SERVICES = [
  "spicegate.console.v1.ConsoleService",
  "spicegate.inventory.v1.InventoryService",
  "spicegate.session.v1.SessionService",
  "spicegate.audit.v1.AuditService",
];
const REFLECTED = [...SERVICES, "grpc.health.v1.Health"];

/** A run of the controller. It starts even while Postgres is away, and is ready once it knows what runs where. */
export class Controller implements Part {
  readonly #config: ControllerConfig;
  readonly #log: Log;
  readonly #registry = createRegistry();
  readonly #metrics = createControllerMetrics(this.#registry);
  readonly #readiness = new Readiness(["database", "inventory", "serving"]);
  readonly #health = new HealthImplementation(servingStatus(false));
  readonly #controllerId = randomBytes(16).toString("hex");
  readonly #database: Database;
  readonly #instances: InstanceRegistry;
  readonly #agents: AgentRouter;
  readonly #handlers: UnaryHandlers;
  readonly #streams: StreamHandlers;
  readonly #audit: AuditLog;
  readonly #sessions: SessionStore;
  readonly #channels: SessionRegistry;
  readonly #endings: SessionEndings;
  readonly #watches: SessionWatches;
  readonly #drain: ViewerDrain;
  readonly #refusalRecorder: RefusalRecorder;
  readonly #refusals: ViewerRefusals;
  readonly #tunnels: TunnelListener;
  readonly #lifecycle: Lifecycle;
  #draining = false;

  constructor({ config, log }: ControllerOptions) {
    this.#config = config;
    this.#log = log;
    const controllerId = this.#controllerId;
    this.#database = new Database({ ...config.database, log });
    const database = this.#database;
    const trustDomainMetadata = config.inventory.trust_domain_metadata;
    this.#instances = new InstanceRegistry({ database, log, controllerId, trustDomainMetadata });
    this.#agents = new AgentRouter({ log, metrics: this.#metrics });
    const metrics = this.#metrics;
    this.#handlers = new UnaryHandlers({ caller: config.identity.loopback_caller, log, metrics });
    this.#streams = new StreamHandlers({ caller: config.identity.loopback_caller, log, metrics });
    const clock = systemClock;
    this.#audit = new AuditLog(database);
    this.#sessions = new SessionStore(database, {
      maxLengthS: config.sessions.max_length,
      endsWithToken: config.consoleauth.enforce_session_timeout,
      rejoinS: config.sessions.rejoin_time,
    });
    const sessions = this.#sessions;
    const channels = new ChannelStore({ database, controllerId, maxChannels: config.sessions.max_channels });
    this.#channels = new SessionRegistry({ channels, sessions, database, log, metrics, clock });
    const registry = this.#channels;
    const { instances, agents } = { instances: this.#instances, agents: this.#agents };
    this.#endings = new SessionEndings({ sessions, channels, registry, instances, agents, log, clock });
    this.#watches = new SessionWatches({ store: new WatchStore(database), log, metrics, clock });
    this.#drain = new ViewerDrain(registry, config.proxy.drain_seconds * 1_000);
    this.#refusalRecorder = new RefusalRecorder({ audit: this.#audit, database, log, clock });
    this.#refusals = new ViewerRefusals(this.#refusalRecorder, metrics);
    this.#tunnels = new TunnelListener({ listen: requireAddress(config.agents.tunnel_listen), log });
    this.#lifecycle = this.#arrange();
    this.#readiness.onChange((ready) => this.#announce(ready));
  }

  /** Turns tokens into sessions. */
  #redeeming(): Redeeming {
    return new RedeemConsoleToken({
      tokens: new ConsoleTokenStore(this.#database),
      sessions: this.#sessions,
      instances: this.#instances,
      agents: this.#agents,
      drain: this.#drain,
      refusals: this.#refusals,
      log: this.#log,
    });
  }

  /** What viewers can do with sessions. */
  #viewerSessions(): ViewerSessions {
    return new ProvenSessions({
      sessions: this.#sessions,
      registry: this.#channels,
      endings: this.#endings,
      instances: this.#instances,
      agents: this.#agents,
      displays: new TunnelDisplays({ router: this.#agents, tunnels: this.#tunnels }),
      drain: this.#drain,
      refusals: this.#refusals,
      metrics: this.#metrics,
      log: this.#log,
      clock: systemClock,
    });
  }

  async start(): Promise<void> {
    await this.#lifecycle.start();
    this.#observe();
    this.#log.info({ controllerId: this.#controllerId }, "controller started");
  }

  /** Takes no new calls, lets those that run finish, tells the agents to leave, and stops everything. */
  async stop(): Promise<void> {
    this.#draining = true;
    this.#observe();
    await this.#lifecycle.stop();
  }

  /** In the order of start; stop is the reverse: first viewers and calls end, then agents leave, then the database goes. */
  #arrange(): Lifecycle {
    const log = this.#log;
    const database = this.#database;
    const controllerId = this.#controllerId;
    const instances = this.#instances;
    const presence = new ControllerPresence({ database, log, controllerId, streams: () => instances.streams() });
    const tasks = [
      { name: "expired tokens", run: purgeExpiredTokens },
      ...instances.sweepTasks(),
      ...this.#endings.sweepTasks(),
    ];
    return new Lifecycle(log, [
      { name: "telemetry", part: this.#telemetryServer() },
      { name: "database", part: database },
      { name: "instances", part: instances },
      { name: "presence", part: presence },
      { name: "sweep", part: new Sweep({ database, log, tasks }) },
      { name: "channels", part: this.#channels },
      { name: "session endings", part: this.#endings },
      { name: "session watches", part: this.#watches },
      { name: "refusals", part: this.#refusalRecorder },
      { name: "observer", part: this.#observer() },
      { name: "agent server", part: this.#agentServer() },
      { name: "agents", part: this.#agents },
      { name: "api server", part: this.#apiServer() },
      { name: "watching calls", part: this.#streams },
      { name: "calls", part: this.#handlers },
      { name: "tunnels", part: this.#tunnels },
      { name: "proxy", part: this.#proxyServer() },
      { name: "viewers", part: this.#drain, stopMs: this.#drain.stopMs },
    ]);
  }

  #telemetryServer(): TelemetryServer {
    const listen = requireAddress(this.#config.telemetry.listen);
    return new TelemetryServer({ listen, registry: this.#registry, readiness: this.#readiness, log: this.#log });
  }

  #agentServer(): GrpcServer {
    const options = {
      controllerId: this.#controllerId,
      router: this.#agents,
      instances: this.#instances,
      databaseUp: () => this.#database.isReady(),
      log: this.#log,
      metrics: this.#metrics,
      clock: systemClock,
    };
    const addServices = (server: Server): void => addAgentStreamService(server, options);
    return new GrpcServer({
      name: "agents",
      listen: requireAddress(this.#config.agents.listen),
      addServices,
      log: this.#log,
    });
  }

  #apiServer(): GrpcServer {
    const addServices = (server: Server): void => {
      this.#addUseCases(server);
      this.#health.addToServer(server);
      addReflection(server, REFLECTED);
    };
    return new GrpcServer({
      name: "api",
      listen: requireAddress(this.#config.api.listen),
      addServices,
      log: this.#log,
    });
  }

  #proxyServer(): ProxyServer {
    const { proxy, console } = this.#config;
    const log = this.#log;
    return new ProxyServer({
      listen: requireAddress(proxy.listen),
      redeeming: this.#redeeming(),
      sessions: this.#viewerSessions(),
      refusals: this.#refusals,
      runViewer: (viewer) => runViewer({ ...viewer, protocol: new SpiceViewer(), log }),
      webSockets: VIEWER_WEBSOCKETS,
      readiness: this.#readiness,
      log,
      metrics: this.#metrics,
      allowedOrigins: console.allowed_origins,
      frameAncestors: proxy.frame_ancestors,
      trustedProxies: proxy.trusted_proxies,
    });
  }

  #addUseCases(server: Server): void {
    const { spice, consoleauth } = this.#config;
    const database = this.#database;
    const instances = this.#instances;
    const log = this.#log;
    const handlers = this.#handlers;
    const access = new InstanceAccess({ instances, audit: this.#audit, database, log });
    const tokens = new ConsoleTokenStore(database);
    const getSpiceConsole = new GetSpiceConsole({
      access,
      instances,
      agents: this.#agents,
      tokens: new ConsoleAuthorizer(database),
      baseUrl: spice.html5proxy_base_url,
      ttlSeconds: consoleauth.token_ttl,
      log,
    });
    const lookupConsoleToken = new LookupConsoleToken(access, tokens, log);
    const revokeConsoleTokens = new RevokeConsoleTokens(access, tokens, log);
    addConsoleService(server, { handlers, getSpiceConsole, lookupConsoleToken, revokeConsoleTokens });
    addInventoryService(server, handlers, new ManageInventory({ access, instances }));
    const { sessions, endings, watches } = { sessions: this.#sessions, endings: this.#endings, watches: this.#watches };
    const manageSessions = new ManageSessions({ access, sessions, endings, watches });
    addSessionService(server, { handlers, streams: this.#streams, sessions: manageSessions });
    addAuditService(server, handlers, new ListAuditEvents(access, new AuditReader(database)));
  }

  /** Looks a few times a second at what has no event of its own. */
  #observer(): Part {
    let timer: NodeJS.Timeout | undefined;
    return {
      start: () => {
        timer = setInterval(() => this.#observe(), READINESS_INTERVAL_MS);
      },
      stop: () => clearInterval(timer),
    };
  }

  #observe(): void {
    const up = this.#database.isReady();
    this.#readiness.set("database", up, this.#database.problem);
    this.#readiness.set("inventory", !this.#instances.inventoryPending(), "hosts are still reporting");
    this.#readiness.set("serving", !this.#draining, "stopping");
    this.#metrics.databaseUp.set(up ? 1 : 0);
    this.#metrics.instances.set(this.#instances.count());
    this.#metrics.ownershipConflicts.set(this.#instances.conflictCount());
  }

  #announce(ready: boolean): void {
    for (const [service, status] of Object.entries(servingStatus(ready))) this.#health.setStatus(service, status);
    this.#log.info({ ready, conditions: this.#readiness.conditions() }, ready ? "ready" : "not ready");
  }
}

/** What grpc.health.v1 says of each service; the empty name stands for the whole controller. */
function servingStatus(ready: boolean): ServingStatusMap {
  return Object.fromEntries(["", ...SERVICES].map((service) => [service, ready ? "SERVING" : "NOT_SERVING"]));
}
