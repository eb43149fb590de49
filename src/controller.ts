// SPDX-License-Identifier: Apache-2.0
// The one place that constructs the controller's long-lived parts and knows their order; those that only viewers need
// are made next door, in viewer-parts.ts, and what callers can ask for in use-cases.ts.
import type { Server } from "@grpc/grpc-js";
import { randomBytes } from "node:crypto";
import { AgentRouter } from "./agents/agent-router.js";
import { AuditLog } from "./audit/audit-log.js";
import { LimitRecorder } from "./audit/limit-recorder.js";
import { RefusalRecorder } from "./audit/refusal-recorder.js";
import { addAgentStreamService } from "./api/agent-stream-service.js";
import { addAuditService } from "./api/audit-service.js";
import { addConsoleAuthService, CONSOLEAUTH_SERVICE } from "./api/consoleauth-service.js";
import { addConsoleService } from "./api/console-service.js";
import { addEnrollmentService } from "./api/enrollment-service.js";
import { addIdentityService } from "./api/identity-service.js";
import { addInventoryService } from "./api/inventory-service.js";
import { addSessionService } from "./api/session-service.js";
import type { CallerParts } from "./caller-parts.js";
import { createCallerParts } from "./caller-parts.js";
import type { ControllerConfig } from "./config/controller-config.js";
import { VerbGate } from "./console/verb-gate.js";
import type { LegacyParts } from "./consoleauth/legacy-parts.js";
import { createLegacyParts } from "./consoleauth/legacy-parts.js";
import { Notifications } from "./db/notifications.js";
import { Database } from "./db/pool.js";
import { Sweep } from "./db/sweep.js";
import { createGatewayServer } from "./gateway/gateway-server.js";
import { TrustedProxies } from "./http/trusted-proxies.js";
import { CONTROLLERS_CHANNEL, INSTANCES_CHANNEL } from "./instances/announcements.js";
import { ControllerPresence } from "./instances/controller-presence.js";
import type { HostParts } from "./host-parts.js";
import { createHostParts } from "./host-parts.js";
import { REVOCATIONS_CHANNEL } from "./identity/host-certificate-store.js";
import { InstanceRegistry } from "./instances/instance-registry.js";
import { purgeExpiredUserTokens, USER_TOKENS_CHANNEL } from "./identity/user-token-store.js";
import { systemClock } from "./lib/clock.js";
import type { NamedPart, Part } from "./lib/lifecycle.js";
import { Lifecycle } from "./lib/lifecycle.js";
import { MAX_CONNECTIONS_PER_ADDRESS, READINESS_INTERVAL_MS } from "./lib/limits.js";
import { formatAddress, requireAddress } from "./lib/listen-address.js";
import type { ListenerTls } from "./lib/listener-tls.js";
import { listenerTls } from "./lib/listener-tls.js";
import type { Log } from "./lib/log.js";
import { ruleOf } from "./policy/method-rules.js";
import { PolicyFile } from "./policy/policy-file.js";
import { Policy } from "./policy/policy.js";
import { isThisMachine } from "./lib/network-of.js";
import type { CallLimits } from "./rpc/call-limits.js";
import { createCallLimits } from "./rpc/call-limits.js";
import { GrpcServer } from "./rpc/grpc-server.js";
import { PublishedServices } from "./rpc/published-services.js";
import { StreamHandlers } from "./rpc/stream-handler.js";
import { UnaryHandlers } from "./rpc/unary-handler.js";
import { createControllerMetrics } from "./telemetry/controller-metrics.js";
import { createRegistry } from "./telemetry/metrics.js";
import { Readiness } from "./telemetry/readiness.js";
import { TelemetryServer } from "./telemetry/telemetry-server.js";
import { purgeExpiredTokens } from "./tokens/console-token-store.js";
import type { UseCases } from "./use-cases.js";
import { createUseCases } from "./use-cases.js";
import type { ViewerParts } from "./viewer-parts.js";
import { createViewerParts } from "./viewer-parts.js";

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
  "spicegate.identity.v1.IdentityService",
  "spicegate.agent.v1.EnrollmentService",
];

/** A run of the controller. It starts even while Postgres is away, and is ready once it knows what runs where. */
export class Controller implements Part {
  readonly #config: ControllerConfig;
  readonly #log: Log;
  readonly #registry = createRegistry();
  readonly #metrics = createControllerMetrics(this.#registry);
  readonly #readiness = new Readiness(["database", "inventory", "serving"]);
  readonly #published: PublishedServices;
  readonly #controllerId = randomBytes(16).toString("hex");
  readonly #policy = new Policy();
  readonly #gate: VerbGate;
  readonly #database: Database;
  readonly #notifications: Notifications;
  readonly #presence: ControllerPresence;
  readonly #agentServer: GrpcServer;
  readonly #instances: InstanceRegistry;
  readonly #agents: AgentRouter;
  readonly #limits: CallLimits;
  readonly #limitNotes: RefusalRecorder;
  readonly #callers: CallerParts;
  readonly #handlers: UnaryHandlers;
  readonly #streams: StreamHandlers;
  readonly #legacy: LegacyParts;
  readonly #agentTls: ListenerTls;
  readonly #agentRefusals: RefusalRecorder;
  readonly #callerRefusals: RefusalRecorder;
  readonly #viewers: ViewerParts;
  readonly #hosts: HostParts;
  readonly #useCases: UseCases;
  readonly #lifecycle: Lifecycle;
  #draining = false;

  constructor({ config, log }: ControllerOptions) {
    this.#config = config;
    this.#log = log;
    const controllerId = this.#controllerId;
    const metrics = this.#metrics;
    const readiness = this.#readiness;
    const database = new Database({ ...config.database, log });
    const trustDomainMetadata = config.inventory.trust_domain_metadata;
    const channels = [INSTANCES_CHANNEL, CONTROLLERS_CHANNEL, REVOCATIONS_CHANNEL, USER_TOKENS_CHANNEL];
    const notifications = new Notifications({ ...config.database, channels, log });
    const instances = new InstanceRegistry({ database, notifications, log, controllerId, trustDomainMetadata });
    const agents = new AgentRouter({ log, metrics });
    const audit = new AuditLog(database);
    // Each of their own: a crowd of viewers that are refused leaves no flood, no agent and no caller unnoted.
    const recorder = (): RefusalRecorder => new RefusalRecorder({ audit, database, log, clock: systemClock });
    this.#limitNotes = recorder();
    this.#agentRefusals = recorder();
    this.#callerRefusals = recorder();
    const notes = new LimitRecorder(this.#limitNotes, metrics, systemClock);
    const limits = createCallLimits({
      settings: config.limits,
      isFree: freeAddresses(config),
      notes,
      clock: systemClock,
    });
    const callers = createCallerParts({ config, database, notifications, limits, log, metrics });
    const gate = new VerbGate({ policy: this.#policy, audit, log });
    const calls = { callers: callers.grpc, guardOf: gate.guardOf, log, metrics };
    this.#database = database;
    this.#notifications = notifications;
    this.#instances = instances;
    this.#agents = agents;
    this.#callers = callers;
    this.#limits = limits;
    this.#gate = gate;
    this.#handlers = new UnaryHandlers(calls);
    this.#streams = new StreamHandlers(calls);
    this.#legacy = createLegacyParts({ config, database, metrics, log });
    const { tokens: legacy, served } = this.#legacy;
    this.#published = new PublishedServices(served ? [...SERVICES, CONSOLEAUTH_SERVICE] : SERVICES);
    this.#agentTls = this.#tlsOf("agents");
    this.#hosts = createHostParts({ config, database, notifications, log });
    this.#viewers = createViewerParts({
      config,
      controllerId,
      database,
      instances,
      agents,
      readiness,
      legacy,
      revocations: this.#hosts.revocations,
      limits,
      agentTls: this.#agentTls,
      log,
      metrics,
    });
    this.#useCases = createUseCases({
      config,
      database,
      instances,
      agents,
      viewers: this.#viewers,
      refusals: this.#callerRefusals,
      legacy,
      hosts: this.#hosts,
      policy: this.#policy,
      gate,
      log,
    });
    this.#agentServer = this.#createAgentServer();
    this.#presence = this.#createPresence();
    this.#lifecycle = this.#arrange();
    this.#presence.onPeers((peers) => void agents.announce(peers));
    this.#readiness.onChange((ready) => this.#announce(ready));
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

  /**
   * In the order of start; stop is the reverse: first viewers and calls end, then agents leave, then the others hear that
   * this controller has gone, then the database goes.
   */
  #arrange(): Lifecycle {
    const log = this.#log;
    const database = this.#database;
    const instances = this.#instances;
    const { records, entrances, endings } = this.#viewers;
    const tasks = [
      { name: "expired tokens", run: purgeExpiredTokens },
      { name: "expired user tokens", run: purgeExpiredUserTokens },
      ...instances.sweepTasks(),
      ...endings.sweepTasks(),
      ...this.#hosts.sweepTasks,
    ];
    return new Lifecycle(log, [
      ...this.#telemetry(),
      ...this.#policyFile(),
      { name: "database", part: database },
      { name: "notifications", part: this.#notifications },
      ...this.#callers.parts,
      { name: "instances", part: instances },
      { name: "sweep", part: new Sweep({ database, log, tasks }) },
      ...this.#legacy.parts,
      ...records,
      ...this.#hosts.parts,
      { name: "refusals by limits", part: this.#limitNotes },
      { name: "observer", part: this.#observer() },
      { name: "refusals of agents", part: this.#agentRefusals },
      { name: "refusals of callers", part: this.#callerRefusals },
      ...this.#agentTls.parts,
      { name: "agent server", part: this.#agentServer },
      { name: "presence", part: this.#presence },
      { name: "agents", part: this.#agents },
      ...this.#api(),
      { name: "watching calls", part: this.#streams },
      { name: "calls", part: this.#handlers },
      ...this.#gateway(),
      ...entrances,
    ]);
  }

  /** Where the policy is not the default. */
  #policyFile(): NamedPart[] {
    const { file } = this.#config.policy;
    if (file === undefined) return [];
    const parts = { policy: this.#policy, metrics: this.#metrics, log: this.#log, clock: systemClock };
    return [{ name: "policy", part: new PolicyFile({ file, ...parts }) }];
  }

  /** The TLS of a listener by its section of the settings. */
  #tlsOf(section: "api" | "agents" | "gateway" | "telemetry"): ListenerTls {
    return listenerTls(section, this.#config[section], { metrics: this.#metrics, log: this.#log });
  }

  #telemetry(): NamedPart[] {
    const { tls, parts } = this.#tlsOf("telemetry");
    const listen = requireAddress(this.#config.telemetry.listen);
    const shown = { registry: this.#registry, readiness: this.#readiness };
    return [...parts, { name: "telemetry", part: new TelemetryServer({ ...shown, listen, tls, log: this.#log }) }];
  }

  #createAgentServer(): GrpcServer {
    const options = {
      controllerId: this.#controllerId,
      router: this.#agents,
      peers: () => this.#presence.peers(),
      instances: this.#instances,
      databaseUp: () => this.#database.isReady(),
      hostsProven: this.#agentTls.tls !== undefined,
      revocations: this.#hosts.revocations,
      refusals: this.#agentRefusals,
      log: this.#log,
      metrics: this.#metrics,
      clock: systemClock,
      connections: this.#limits.agentConnections,
      messagesPerSecond: this.#config.limits.agent_messages,
    };
    const addServices = (server: Server): void => addAgentStreamService(server, options);
    return new GrpcServer({
      name: "agents",
      listen: requireAddress(this.#config.agents.listen),
      tls: this.#agentTls.tls,
      addServices,
      requireRule: ruleOf,
      log: this.#log,
    });
  }

  #createPresence(): ControllerPresence {
    const { agents } = this.#config;
    const { host } = requireAddress(agents.listen);
    return new ControllerPresence({
      database: this.#database,
      notifications: this.#notifications,
      log: this.#log,
      controllerId: this.#controllerId,
      advertise: () => agents.advertise ?? formatAddress({ host, port: this.#agentServer.port }),
      streams: () => this.#instances.streams(),
    });
  }

  #api(): NamedPart[] {
    const { tls, parts } = this.#tlsOf("api");
    const addServices = (server: Server): void => {
      this.#addUseCases(server);
      this.#published.addToServer(server);
    };
    const listen = requireAddress(this.#config.api.listen);
    const perAddress = { most: MAX_CONNECTIONS_PER_ADDRESS, isFree: freeAddresses(this.#config) };
    const part = new GrpcServer({
      name: "api",
      listen,
      tls,
      perAddress,
      addServices,
      requireRule: ruleOf,
      log: this.#log,
    });
    return [...parts, { name: "api server", part }];
  }

  /** REST, where it is asked for. */
  #gateway(): NamedPart[] {
    const { gateway, proxy } = this.#config;
    if (gateway.listen === undefined) return [];
    const { tls, parts } = this.#tlsOf("gateway");
    const part = createGatewayServer({
      ...this.#useCases,
      listen: requireAddress(gateway.listen),
      tls,
      callers: this.#callers.rest,
      keystoneUrl: this.#config.identity.keystone?.publicUrl,
      gate: this.#gate,
      trustedProxies: proxy.trusted_proxies,
      log: this.#log,
      metrics: this.#metrics,
    });
    return [...parts, { name: "gateway", part }];
  }

  #addUseCases(server: Server): void {
    const handlers = this.#handlers;
    const { inventory, sessions, audit, users, hosts, ...console } = this.#useCases;
    addConsoleService(server, { handlers, ...console });
    addInventoryService(server, { handlers, streams: this.#streams, inventory });
    addSessionService(server, { handlers, streams: this.#streams, sessions });
    addAuditService(server, handlers, audit);
    addIdentityService(server, { handlers, users, hosts });
    addEnrollmentService(server, handlers, this.#hosts.enrolling);
    if (this.#legacy.served) addConsoleAuthService(server, handlers, this.#legacy.served);
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
    this.#metrics.instanceWatches.set(this.#instances.watchCount());
    this.#metrics.ownershipConflicts.set(this.#instances.conflictCount());
  }

  #announce(ready: boolean): void {
    this.#published.announce(ready);
    this.#log.info({ ready, conditions: this.#readiness.conditions() }, ready ? "ready" : "not ready");
  }
}

/** What is not limited by its address: this machine, and balancers, behind which anybody may be. */
function freeAddresses({ proxy }: ControllerConfig): (address: string) => boolean {
  const proxies = new TrustedProxies(proxy.trusted_proxies);
  return (address) => isThisMachine(address) || proxies.trusts(address);
}
